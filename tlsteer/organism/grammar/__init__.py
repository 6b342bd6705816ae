"""The grammar of the invented world."""
