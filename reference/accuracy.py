"""How accurate a scalar function is taken to be: k_f, in roundings of its scale s_f.

A correct implementation of f errs by at most k_f·u·s_f(z). k_f is not derived but measured: `python -m reports sweep`
runs every engine's own functions over their inputs and records the worst error in `recorded/`, for each kind of
device: a GPU has other functions than a CPU. The k_f of an engine is the measurement that it declares times MARGIN; an
engine that declares none gets the largest of those made on a CPU, and on a GPU the largest of all.
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


WHATS = ("value", "derivative")

Accuracy = str | tuple[tuple[str, str, float], ...] | None
"""The name under which an engine was measured; or its own measurements, (function, value or derivative, roundings), for
every format; or None, if it was not measured."""

ANY_ON_GPU = "any" + ON_GPU
"""The accuracy of an engine that was not measured, on a GPU."""


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
def k(function: str, what: str, dtype: str, accuracy: Accuracy) -> float:
    """k_f of the value or the derivative of a function in one format; 0 for a function that rounds nothing.

    Raises KeyError for a function that was never measured in that format.
    """
    roundings = measured()[function, what, dtype]
    if isinstance(accuracy, tuple):
        own = {(name, part): each for name, part, each in accuracy}
        if (function, what) in own:
            return MARGIN * own[function, what]
        accuracy = None
    if accuracy in roundings:
        return MARGIN * roundings[accuracy]
    on_gpu = accuracy is not None and accuracy.endswith(ON_GPU)
    return MARGIN * max(each for name, each in roundings.items() if on_gpu or not name.endswith(ON_GPU))
