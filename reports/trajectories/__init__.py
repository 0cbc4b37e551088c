"""Training runs: every optimiser in every engine, every step audited."""
