"""One module per intent; plain functions that receive what they need as arguments."""
