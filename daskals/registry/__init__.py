"""Versions of models and the names that point at them, in a folder or on S3."""
