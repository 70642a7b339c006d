"""The prior FW that rows are drawn to: its half-step, the elimination of the rows, conjugate gradients."""
