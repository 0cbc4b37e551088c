"""How accurate each engine's scalar functions are: the measurements behind k_f."""
