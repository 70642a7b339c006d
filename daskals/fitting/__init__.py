"""From ratings to a fitted, evaluated, reported model."""
