"""p(x, z | θ), one per file, pure and immutable."""
