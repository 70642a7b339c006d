"""The ratings of a run on the cluster: how they are cut, which stay in memory, where they lie."""
