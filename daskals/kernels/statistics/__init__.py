"""Statistics of anomalies: leverages, regressions, mixtures, permutations."""
