"""A model put to use: lists for all, exports, predictions for files, and a model kept ready."""
