"""How the time of a campaign divides."""

from collections.abc import Sequence
from typing import Literal

from reports.results.records import Cell, Times, WithoutReuse
from reports.results.verdicts import Verdict

Part = Literal["compile", "engine", "audit", "experiments"]

PARTS: tuple[Part, ...] = ("compile", "engine", "audit", "experiments")
"""The parts of a cell's time."""


def times(cells: Sequence[Cell], workers: int) -> Times:
    """How the time of the cells divides, and what compiling a program for every cell would have cost.

    The cells lose their own part of it, `spent`.
    """
    seconds: dict[str, dict[str, float]] = {}
    programs: dict[str, int] = {}
    ran: dict[str, int] = {}
    for cell in cells:
        engine, spent = cell["engine"], cell.pop("spent")
        of_engine = seconds.setdefault(engine, dict.fromkeys(PARTS, 0.0))
        for part in PARTS:
            of_engine[part] += spent[part]
        programs[engine] = programs.get(engine, 0) + spent["programs"]
        ran[engine] = ran.get(engine, 0) + (cell["verdict"] != Verdict.NOT_RUN)
    return {"seconds": seconds, "workers": workers, "without_reuse": without_reuse(seconds, programs, ran)}


def without_reuse(
    seconds: dict[str, dict[str, float]], programs: dict[str, int], ran: dict[str, int]
) -> WithoutReuse | None:
    """What compiling a program for every cell of jax-jit would have cost; None where that was not measured.

    It is measured in jax-whole, which does so: seconds a program there, times the cells of jax-jit.
    """
    if not programs.get("jax-whole") or not ran.get("jax-jit"):
        return None
    each = seconds["jax-whole"]["compile"] / programs["jax-whole"]
    return {
        "seconds": each * ran["jax-jit"],
        "programs": ran["jax-jit"],
        "compiled": programs["jax-jit"],
        "how": f"{each:.3f} s a program of jax-whole ({programs['jax-whole']} measured), one a cell of jax-jit",
    }
