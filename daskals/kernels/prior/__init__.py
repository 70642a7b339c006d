"""Rows drawn to what their features predict: elimination from W's equations, and filling in."""
