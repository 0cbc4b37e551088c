"""JAX and optax: their functions and optimisers by the reference's names, and their engines."""
