"""How a cell or training run stands."""

from enum import StrEnum


class Verdict(StrEnum):
    """The verdict of a cell or training run; `explained`: it breaks, where a listed divergence says that it does."""

    HOLDS = "holds"
    BREAKS = "breaks"
    EXPLAINED = "explained"
    NOT_RUN = "not-run"
    CRASHED = "crashed"
    TIMED_OUT = "timed-out"
    MALFORMED = "malformed"


RIGHT = (Verdict.HOLDS, Verdict.NOT_RUN)
"""The verdicts that need no explanation."""
