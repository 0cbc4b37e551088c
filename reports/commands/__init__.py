"""The verbs of `python -m reports`, one file each."""
