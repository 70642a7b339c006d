"""Draws of the Gibbs sampler: rows, ratings cut off at the ends of their scale, moments of a side."""
