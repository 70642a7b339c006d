"""What kernels are made with: compilation, cache, target, vectors, random numbers, dense systems."""
