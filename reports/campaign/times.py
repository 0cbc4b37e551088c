"""How the time of a campaign divides."""

from collections.abc import Sequence

from reports.results.records import Record

PARTS = ("compile", "engine", "audit", "experiments")


def times(cells: Sequence[Record], workers: int) -> Record:
    """How the time of the cells divides, and what compiling a program for every cell would have cost.

    The latter from jax-whole, which does so: seconds a program there, times the cells of jax-jit. The cells lose their
    own part of it.
    """
    spent: dict[str, dict[str, float]] = {}
    programs: dict[str, int] = {}
    ran: dict[str, int] = {}
    for cell in cells:
        engine, part = cell["engine"], cell.pop("spent")
        of_engine = spent.setdefault(engine, dict.fromkeys(PARTS, 0.0))
        for name in PARTS:
            of_engine[name] += part[name]
        programs[engine] = programs.get(engine, 0) + part["programs"]
        ran[engine] = ran.get(engine, 0) + (cell["verdict"] != "not-run")
    without = None
    if programs.get("jax-whole") and ran.get("jax-jit"):
        each = spent["jax-whole"]["compile"] / programs["jax-whole"]
        without = {
            "seconds": each * ran["jax-jit"],
            "programs": ran["jax-jit"],
            "compiled": programs["jax-jit"],
            "how": f"{each:.3f} s a program of jax-whole ({programs['jax-whole']} measured), one a cell of jax-jit",
        }
    return {"seconds": spent, "workers": workers, "without_reuse": without}
