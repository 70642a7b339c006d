"""Training: the half-step, the epoch loop, and what they hand out."""
