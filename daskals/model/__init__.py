"""The fitted model and all that is asked of it: predictions, lists, fold-in, neighbours, reasons, titles."""
