"""The equations of which the smallest detectable fault is measured, and the elements that it changes."""

from typing import Literal

UPDATE, COMPOSED, JACOBIAN = ("2a", "2b"), ("12", "10a", "10b"), ("6a", "6b", "13")

MEASURED = ("z", "a", "8", "1", "9", "14", "7a", "7b", *UPDATE, *COMPOSED, *JACOBIAN)
"""In the order of the computation."""

ELEMENTS: tuple[Literal["one", "all"], ...] = ("one", "all")
"""One element of an array, or every one."""
