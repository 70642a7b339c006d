"""Trials of many models: searches, the cold-start study, and the protocols of the papers."""
