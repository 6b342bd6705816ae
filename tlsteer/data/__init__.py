"""What goes into a fit: examples and contrast pairs."""

from tlsteer.data.examples import ContrastPair, Example, data_hash

__all__ = ["ContrastPair", "Example", "data_hash"]
