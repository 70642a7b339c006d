"""Compiled kernels: the only room that knows numba. No Dask, no Zarr, no BLAS."""
