"""What changed: a campaign held to its baseline, and two campaigns compared."""
