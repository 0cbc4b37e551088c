"""Where a finding is, in words."""

import re


def place_text(equation: str, layer: int) -> str:
    """(14) in layer 2; a line of an optimiser has a name, and no number."""
    return f"{f'({equation})' if re.fullmatch('[0-9]+[ab]?|[az]', equation) else equation} in layer {layer}"
