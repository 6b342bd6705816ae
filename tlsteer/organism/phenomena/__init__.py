"""What steering does to the embedded model, measured with the toolkit's own fits and its controls."""
