"""Half-step of a block: its rows' ridge equations, Gram matrices, Cholesky factorisation, solution."""
