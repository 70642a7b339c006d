"""The ratings store: its Zarr layout, writer and reader. The only room that knows zarr."""
