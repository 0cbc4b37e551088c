"""NumPy as an engine."""
