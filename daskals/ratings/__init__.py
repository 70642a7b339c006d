"""From files and frames to validated ratings: readers, ids, duplicates, splits, named data sets."""
