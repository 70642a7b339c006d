"""What ratings and models say about themselves, as numbers ready for JSON; nothing here draws."""
