"""How accurate a scalar function is taken to be: k_f, in roundings of its scale s_f.

A correct implementation of f errs by at most k_f·u·s_f(z). k_f is not derived but measured: `python -m reports sweep`
runs every engine's own functions over their inputs and records the worst error in `recorded/`, for each kind of
device: a GPU has other functions than a CPU. The k_f of an engine is its own measurement times MARGIN; an engine that
was not measured gets the largest of those that were on the CPU, and on a GPU the largest of all.
"""

import json
from functools import cache
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parent / "recorded"

RECORDED = {"cpu": FOLDER / "scalar_accuracy.json", "gpu": FOLDER / "scalar_accuracy_gpu.json"}
"""The measurements on each kind of device."""

ON_GPU = " on gpu"
"""What is added to an engine's name there."""

MARGIN = 1.5
"""For the worst input, which a sample of float32 or float64 misses, and for other processors, whose vector kernels are
other code. A test holds every k_f between once and twice what was measured."""


FUNCTIONS_OF = {"jax-whole": "jax-jit", "jax-whole" + ON_GPU: "jax-jit" + ON_GPU}
"""Engines that are measured under another's name: their functions are the same."""


def on(engine: str, device: str) -> str:
    """The name under which an engine was measured on a device, "cpu" or "cuda:0", say."""
    return engine if device.startswith("cpu") else engine + ON_GPU


@cache
def recorded() -> list[dict[str, Any]]:
    """The measurements, by the name of the engine on its device."""
    tables = {device: json.loads(path.read_text(encoding="utf-8")) for device, path in RECORDED.items()}
    return [
        {**entry, "engine": on(entry["engine"], device)}
        for device, table in tables.items()
        for entry in table["entries"]
    ]


@cache
def measured() -> dict[tuple[str, str, str], dict[str, float]]:
    """(function, value or derivative, dtype) -> engine -> roundings; of several parameters, the worst."""
    table: dict[tuple[str, str, str], dict[str, float]] = {}
    for entry in recorded():
        engines = table.setdefault((entry["function"], entry["what"], entry["dtype"]), {})
        engines[entry["engine"]] = max(engines.get(entry["engine"], 0.0), float(entry["roundings"]))
    return table


@cache
def k(function: str, what: str, dtype: str, engine: str | None) -> float:
    """k_f of the value or the derivative of a function in one format; 0 for a function that rounds nothing.

    Raises KeyError for a function that was never measured in that format.
    """
    engines, engine = measured()[function, what, dtype], FUNCTIONS_OF.get(engine or "", engine or "")
    if engine in engines:
        return MARGIN * engines[engine]
    return MARGIN * max(k for other, k in engines.items() if engine.endswith(ON_GPU) or not other.endswith(ON_GPU))
