"""A key figure."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Figure:
    """A key figure: what it counts, the number, and a remark."""

    label: str
    value: str
    remark: str
