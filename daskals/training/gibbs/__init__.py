"""The posterior by Gibbs sampling: one sweep as tasks, the chain between sweeps, its state and its step."""
