"""Where engines depart from the equations and from each other, measured; and what a departure explains."""
