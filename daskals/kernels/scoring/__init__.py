"""Predictions, errors over known ratings, and the best items of each user."""
