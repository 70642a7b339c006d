"""The command line: each module parses its options, calls the library once, and reports."""
