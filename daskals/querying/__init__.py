"""What is asked of a fitted model, on plain arrays: titles, filters, profiles, reasons, neighbours."""
