"""Tests of the project that start processes."""
