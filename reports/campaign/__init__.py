"""A campaign: every combination audited on every engine, what its results say, and its failing Cases."""
