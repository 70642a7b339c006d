"""Measurements: the papers' own tiers, comparable systems, and daskals itself, on the same data."""
