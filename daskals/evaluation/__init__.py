"""How good a model is: error over known ratings, and how well it orders, beside baselines."""
