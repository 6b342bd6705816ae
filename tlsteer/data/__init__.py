"""What goes into a fit: examples and contrast pairs, and their files."""

from tlsteer.data.examples import ContrastPair, Example, data_hash
from tlsteer.data.jsonl import read_examples, read_jsonl, read_prompts, write_jsonl

__all__ = ["ContrastPair", "Example", "data_hash", "read_examples", "read_jsonl", "read_prompts", "write_jsonl"]
