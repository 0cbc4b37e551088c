"""PyTorch: its functions and optimisers by the reference's names, and its engines."""
