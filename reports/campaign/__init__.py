"""A campaign: combinations of functions audited on every engine, what its results say, and its failing Cases."""
