"""Campaigns over many cells, and the report and the exit status made of them."""
