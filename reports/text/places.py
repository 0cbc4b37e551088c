"""Where a finding is, in words."""

import re


def place_text(equation: str, layer: int) -> str:
    """(14) in layer 2; a line of an optimiser has a name and not a number, and what is of no layer stands alone."""
    name = f"({equation})" if re.fullmatch("[0-9]+[ab]?|[az]", equation) else equation
    return f"{name} in layer {layer}" if layer else name
