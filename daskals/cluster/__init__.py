"""Where tasks run: connecting, workers and the blocks on them, how factors reach them, what it costs."""
