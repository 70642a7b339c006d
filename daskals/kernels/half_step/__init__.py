"""The half-step of a block: its rows' ridge equations, their Gram matrices, and their solution."""
