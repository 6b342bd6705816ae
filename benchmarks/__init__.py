"""How fast tlsteer is, against the ways the same work is done today. Run `python -m benchmarks --help`."""
