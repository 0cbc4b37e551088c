"""The whole table of divergences: activations, losses, defaults, arithmetic."""

from collections.abc import Iterator, Sequence
from functools import partial

import numpy as np

from adapters.contract import Adapter, device_of
from reference.activations import ACTIVATIONS
from reference.losses import LOSSES
from reports.divergences import reproducers
from reports.divergences.arithmetic import arithmetic_rows
from reports.divergences.defaults import UNKNOWN, defaults, recognised
from reports.divergences.functions import activation_rows, coupled_rows, loss_rows
from reports.divergences.judging import attempt, identity
from reports.divergences.optimiser_defaults import training_defaults
from reports.divergences.reproducers import shown
from reports.results.records import Divergence
from reports.running.engines import loaded


def divergences(specs: Sequence[str], device: str, dtypes: Sequence[str]) -> list[Divergence]:
    """The table of divergences, for a worker process; empty where there are no engines."""
    return measure([loaded(spec, device) for spec in specs], dtypes) if specs else []


# --- defaults


def default_rows(engines: Sequence[str]) -> Iterator[Divergence]:
    """A row for each call whose defaults are not the equation's; each is measured by running its reproducer."""
    for default in (*defaults(), *training_defaults()):
        candidates = default.candidates()
        usual = next(iter(candidates))
        codes = {engine: reproducers.of_default(engine, default.sources, default.arrays) for engine in engines}
        printed = {code: attempt(partial(reproducers.run, code)) for code in dict.fromkeys(codes.values()) if code}
        names = {engine: recognised(printed[code], candidates) if code else None for engine, code in codes.items()}
        status = {
            engine: "not there"
            if name is None
            else "defect"
            if name in (UNKNOWN, *default.defects)
            else "equal"
            if name == usual
            else "convention"
            for engine, name in names.items()
        }
        if set(status.values()) <= {"equal", "not there"}:
            continue
        yield {
            "id": identity(default.function, "default", "float64", default.input),
            "function": default.function,
            "kind": "default",
            "what": "default",
            "dtype": "float64",
            "kink": False,
            "input": default.input,
            "equation": f"{shown(candidates[usual])} ({usual})",
            "engines": {
                engine: f"{printed[code]} ({names[engine]})" if code else "not there" for engine, code in codes.items()
            },
            "status": status,
            "bound": None,
            "note": "What the call computes when nothing but its inputs is given.",
            "source": None,
            "reproducer": {
                engine: code for engine, code in codes.items() if code and status[engine] not in ("equal", "not there")
            },
        }


# --- the table


def measure(adapters: Sequence[Adapter], dtypes: Sequence[str]) -> list[Divergence]:
    """Every row of these engines and formats: activations, losses, defaults, arithmetic."""
    with np.errstate(all="ignore"):
        rows: list[Divergence] = []
        for name, f in ACTIVATIONS.items():
            for dtype in dtypes:
                rows += (coupled_rows if f.coupled else activation_rows)(adapters, name, dtype)
        for name in LOSSES:
            for dtype in dtypes:
                rows += loss_rows(adapters, name, dtype)
        rows += default_rows([adapter.name for adapter in adapters])
        for dtype in dtypes:
            rows += arithmetic_rows(adapters, dtype)
    devices = {adapter.name: device_of(adapter) for adapter in adapters}
    for row in rows:
        codes = row["reproducer"].items()
        row["reproducer"] = {engine: code and reproducers.on_device(code, devices[engine]) for engine, code in codes}
    return rows
