"""What does not fit: residuals, shared accounts, shilling, and levels and tastes that move."""
