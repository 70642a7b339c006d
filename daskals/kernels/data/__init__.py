"""Compressed rows, parts of a split, planted ratings, and weighted draws."""
