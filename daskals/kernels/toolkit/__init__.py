"""Tools of kernels: compilation, cache, target, vectors, random numbers, dense systems, layout."""
