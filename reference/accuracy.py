"""How accurate a scalar function is taken to be: k_f, in roundings of its scale s_f.

A correct implementation of f errs by at most k_f·u·s_f(z). k_f is not derived but measured: `python -m reports sweep`
runs every engine's own functions over their inputs and records the worst error in `reports/recorded/`. The k_f of an
engine is its own measurement times MARGIN; an engine that was not measured gets the largest of those that were.
"""

import json
from functools import cache
from pathlib import Path
from typing import Any

RECORDED = Path(__file__).parents[1] / "reports" / "recorded" / "scalar_accuracy.json"

MARGIN = 1.5
"""For the worst input, which a sample of float32 or float64 misses, and for other processors, whose vector kernels are
other code. A test holds every k_f between once and twice what was measured."""


FUNCTIONS_OF = {"jax-whole": "jax-jit"}
"""Engines that are measured under another's name: their functions are the same."""


@cache
def recorded() -> dict[str, Any]:
    """The table of measurements."""
    return json.loads(RECORDED.read_text(encoding="utf-8"))


@cache
def measured() -> dict[tuple[str, str, str], dict[str, float]]:
    """(function, value or derivative, dtype) -> engine -> roundings; of several parameters, the worst."""
    table: dict[tuple[str, str, str], dict[str, float]] = {}
    for entry in recorded()["entries"]:
        engines = table.setdefault((entry["function"], entry["what"], entry["dtype"]), {})
        engines[entry["engine"]] = max(engines.get(entry["engine"], 0.0), float(entry["roundings"]))
    return table


@cache
def k(function: str, what: str, dtype: str, engine: str | None) -> float:
    """k_f of the value or the derivative of a function in one format; 0 for a function that rounds nothing.

    Raises KeyError for a function that was never measured in that format.
    """
    engines, engine = measured()[function, what, dtype], FUNCTIONS_OF.get(engine or "", engine)
    return MARGIN * (engines[engine] if engine in engines else max(engines.values()))
