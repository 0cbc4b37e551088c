"""What is right, and how far off is still right: the equations, the rounding model and the audit."""
