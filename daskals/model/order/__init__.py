"""The order of a model's lists, `affinity`: learnt from who rated what, saved with the model."""
