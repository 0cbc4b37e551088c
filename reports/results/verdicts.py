"""How a cell or training run stands."""

HOLDS, BREAKS, EXPLAINED, NOT_RUN = "holds", "breaks", "explained", "not-run"
"""How a cell or training run stands; explained: it breaks, where a listed divergence says that and why it does."""
