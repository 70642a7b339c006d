"""Prior means from features: elimination of rows from W's linear system, its sums, and filling in."""
