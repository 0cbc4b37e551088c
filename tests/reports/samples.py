"""Results of campaigns that were never run, for the tests of what is made of results."""

from collections.abc import Callable, Sequence
from itertools import product
from typing import Any

import numpy as np

from reference.audit import EQUATIONS
from reports.faults import checkers, kill_matrix
from reports.results.files import SCHEMA, empty

Results = dict[str, Any]
Record = dict[str, Any]

HIDDEN = ("identity", "sigmoid", "tanh", "relu", "gelu", "softplus", "silu")
PAIRS = (
    *((output, "half_squared_error") for output in (*HIDDEN, "softmax")),
    ("sigmoid", "binary_cross_entropy"),
    ("sigmoid", "binary_cross_entropy_on_logits"),
    ("softmax", "categorical_cross_entropy"),
    ("softmax", "categorical_cross_entropy_on_logits"),
)
ENGINES = ("torch-eager", "jax-jit", "numpy")
DTYPES = ("float32", "float64", "float16", "bfloat16")


def finding(equation: str, layer: int = 2, ratio: float | str = 1.7, **changes: Any) -> Record:
    """A finding whose worst element is off by that ratio."""
    off = 1e-8 * ratio if isinstance(ratio, float) else ratio
    worst = {"case": 3, "index": [1, 4], "observed": off, "expected": 0.0, "allowed": 1e-8}
    return {"equation": equation, "layer": layer, "ratio": ratio, "elements": 960, "worst": worst} | changes


def item(engine: str, dtype: str, name: str, hidden: str, output: str, loss: str) -> Record:
    """A cell or training run in which (7a) alone was checked, and holds."""
    return {
        "id": f"{engine}/cpu/{dtype}/{name}",
        "engine": engine,
        "device": "cpu",
        "dtype": dtype,
        "hidden": hidden,
        "output": output,
        "loss": loss,
        "verdict": "holds",
        "reason": None,
        "cases": 8,
        "elements": 20160,
        "seconds": 0.12,
        "checked": {"7a": [0.5, 2, 960]},
        "findings": [],
        "explained": None,
    }


def cell(rng: np.random.Generator, engine: str, dtype: str, hidden: str, output: str, loss: str) -> Record:
    """A cell in which every equation was checked, and holds."""
    checked = {equation: [float(rng.beta(2, 5)), int(rng.integers(1, 4)), 960] for equation in EQUATIONS}
    return item(engine, dtype, f"{hidden}/{output}/{loss}", hidden, output, loss) | {"checked": checked}


def run(rng: np.random.Generator, engine: str, dtype: str, steps: int = 40) -> Record:
    """A training run that holds; its loss is the same for every engine."""
    t = np.arange(1, steps + 1)
    exact = engine == "numpy" and dtype == "float64"
    drift = 0 * t if exact else (3e-8 if dtype == "float32" else 6e-17) * np.sqrt(t) * rng.uniform(0.8, 1.6)
    return item(engine, dtype, "digits", "tanh", "softmax", "categorical_cross_entropy_on_logits") | {
        "widths": [64, 32, 10],
        "epochs": 5,
        "batch": 32,
        "learning_rate": 0.5,
        "steps": steps,
        "checked": {"2a": [0.4, 1, 960], "2b": [0.35, 1, 960], "14": [0.22, 1, 960]},
        "curves": {
            "loss": (2.3 * np.exp(-t / 40) + 0.08).tolist(),
            "ratio": rng.uniform(0.2, 0.5, steps).tolist(),
            "drift": drift.tolist(),
            "validation": [0.71, 0.88, 0.93, 0.94, 0.951],
        },
        "accuracy": {"train": 0.987, "validation": 0.951, "test": 0.958},
    }


def sample(engines: tuple[str, ...] = ENGINES, dtypes: tuple[str, ...] = DTYPES[:2]) -> Results:
    """A campaign of every cell of every engine, and a training run of each, in which everything holds."""
    rng = np.random.default_rng(7)
    columns = [(engine, dtype) for engine in engines for dtype in dtypes]
    return {
        "schema": SCHEMA,
        "environment": {
            "python": "3.11.7",
            "platform": "Linux-6.1-x86_64-with-glibc2.36",
            "processor": "x86_64",
            "cores": 2,
            "versions": {"numpy": "2.4.6", "torch": "2.13.0", "jax": "0.10.2", "scipy": "1.17.1"},
            "blas": [{"name": "openblas", "version": "0.3.30", "threads": 2, "library": "numpy"}],
            "devices": dict.fromkeys(engines, "cpu"),
            "flags": {"jax_enable_x64": "True", "jax_default_matmul_precision": "highest"},
            "seed": 2026,
            "started": "2026-11-24T07:00:00+00:00",
            "seconds": 93.2,
        },
        "request": {"engines": list(engines), "dtypes": list(dtypes), "device": "cpu", "cases": 8, "seed": 2026},
        "cells": [cell(rng, *column, hidden, *pair) for column in columns for hidden in HIDDEN for pair in PAIRS],
        "training": [run(rng, *column) for column in columns],
    }


def small(count: int = 4) -> Results:
    """A few cells of torch-eager in float32, and no training."""
    results = sample(("torch-eager",), ("float32",))
    return results | {"cells": results["cells"][:count], "training": []}


def crossed() -> Results:
    """Two hidden activations by two outputs by two losses, of one engine and dtype."""
    rng = np.random.default_rng(7)
    names = [(h, o, loss) for h in ("tanh", "relu") for o in ("identity", "sigmoid") for loss in ("huber", "hinge")]
    return small(0) | {"cells": [cell(rng, "torch-eager", "float32", *n) for n in names]}


def full() -> Results:
    """A campaign with every chapter: a break that a listed divergence explains, times, and accuracies."""
    results = sample(dtypes=DTYPES)
    results |= {
        "training": results["training"][:2],
        "times": {
            "seconds": {
                "torch-eager": {"compile": 0.0, "engine": 30.0, "audit": 50.0, "experiments": 20.0},
                "jax-jit": {"compile": 150.0, "engine": 10.0, "audit": 40.0, "experiments": 5.0},
            },
            "workers": 2,
            "without_reuse": {"seconds": 1500.0, "programs": 24000, "how": "one program timed, times all cells"},
        },
        "divergences": [divergence("kink", "convention"), divergence("softplus-linear", "approximation")],
        "accuracy": [accuracy(f"f{n}", measured=1.0 + n) for n in range(20)],
    }
    return explain(results, 3, "softplus-linear")


def divergence(name: str = "softplus-linear", status: str = "defect", **changes: Any) -> Record:
    """A row of the divergences: torch-eager is off, jax-jit as the equation says, numpy has no such function."""
    return {
        "id": name,
        "function": "softplus",
        "kind": "activation",
        "what": "value",
        "dtype": "float64",
        "kink": False,
        "input": "z = 20.5",
        "equation": "20.500000001250152",
        "engines": {"torch-eager": "20.5", "jax-jit": "20.500000001250152", "numpy": "not there"},
        "status": {"torch-eager": status, "jax-jit": "equal", "numpy": "not there"},
        "bound": "9e5 u",
        "note": "Linear above its threshold.",
        "source": "https://docs.pytorch.org/softplus",
        "reproducer": {"torch-eager": "torch.nn.functional.softplus(z)"},
    } | changes


def accuracy(function: str = "tanh", k: float = 30.0, measured: float | str = 2.0, **changes: Any) -> Record:
    """A row of the accuracies."""
    return {
        "function": function,
        "what": "value",
        "dtype": "float32",
        "engine": "jax-jit",
        "k": k,
        "measured": measured,
        "ulp": 1.25,
        "at": "-0.414213",
        "inputs": 262144,
    } | changes


def not_run(results: Results, reason: str = "no CUDA device") -> Results:
    """The same, with no cell and no training run having been run."""
    for record in (*results["cells"], *results["training"]):
        leave_out(record, reason)
        if "curves" in record:
            record |= {"curves": {}, "accuracy": {}}
    return results


def leave_out(record: Record, reason: str) -> None:
    """Make a cell one that was not run."""
    record |= {"verdict": "not-run", "reason": reason, "checked": {}, "findings": [], "elements": 0}


def spoil(record: Record, equation: str = "14", layer: int = 2, ratio: float | str = 1.7, **changes: Any) -> Record:
    """Make a cell break in one equation."""
    record["checked"][equation] = [ratio, layer, 960]
    record |= {"verdict": "breaks", "findings": [*record["findings"], finding(equation, layer, ratio)]} | changes
    return record


def break_first(results: Results, equation: str = "14", layer: int = 2, ratio: float | str = 1.7) -> Results:
    """The same, with a first cell that breaks."""
    spoil(results["cells"][0], equation, layer, ratio)
    return results


def full_and_broken() -> Results:
    """The same, and a cell that breaks and nothing explains."""
    results = full()
    spoil(results["cells"][10])
    return results


def crash(results: Results, reason: str) -> Results:
    """The same, with a first cell that gave nothing to audit."""
    results["cells"][0] |= {"verdict": "breaks", "reason": reason, "checked": {}}
    return results


def explain(results: Results, count: int, divergence: str) -> Results:
    """The same, with the first cells breaking where a row of the divergences explains it."""
    for record in results["cells"][:count]:
        spoil(record, "a", 1, 9e5, explained=divergence)
    return results


# --- workers


def each_here(
    work: Callable[[Any], Any], arguments: Sequence[Any], workers: int, done: Callable[[Any], None] = lambda _: None
) -> list[Any]:
    """In the place of worker processes: in this one, what a test puts in the place of something is seen."""
    results = []
    for argument in arguments:
        results.append(work(argument))
        done(results[-1])
    return results


def plant_only(monkeypatch: Any, names: Sequence[str]) -> dict[str, Any]:
    """Leave these faults in the panel, and none of the update, wherever a module has it; the panel that is left."""
    from adapters.faults.catalogue import FAULTS

    chosen = {name: FAULTS[name] for name in names}
    stand_ins: dict[str, Any] = {"FAULTS": chosen, "PANEL": chosen, "UPDATES": {}, "BATCH_FAULTS": {}}
    for module, (name, value) in product((kill_matrix, checkers), stand_ins.items()):
        if hasattr(module, name):
            monkeypatch.setattr(module, name, value)
    return chosen


# --- seeded faults

STAGES = ("at initialisation", "near convergence")
FAULT_ENGINES = ("numpy", "torch-eager", "torch-compile")
"""The last makes one program of a network: it is measured in float32, with one of the faults."""


def fault(name: str, kind: str, equation: str, layer: int, **changes: Any) -> Record:
    """A fault of the panel."""
    return {
        "name": name,
        "kind": kind,
        "cause": f"the cause of {name}",
        "equation": equation,
        "layer": layer,
        "network": "tanh → sigmoid, half_squared_error",
        "sees": "bfloat16",
        "trained": None,
        "source": "",
    } | changes


PANEL = (
    fault("transposed-weight", "wrong indices", "14", 1, source="https://example.org/transposed"),
    fault("loss-summed", "wrong reduction", "1", 3),
    fault("delta-in-half", "wrong precision", "14", 2, sees="float32"),
)


def kill(name: str = "transposed-weight", engine: str = "numpy", dtype: str = "float32", **changes: Any) -> Record:
    """A cell of the kill matrix: ten draws at initialisation, every one killed and localised."""
    return {
        "fault": name,
        "engine": engine,
        "dtype": dtype,
        "stage": STAGES[0],
        "claimed": True,
        "draws": 10,
        "killed": 10,
        "localised": 10,
        "missed": 0,
        "indistinguishable": 0,
        "change": 31.5,
        "in_u": 400.0,
        "ratio": 31.2,
        "misses": [],
        "elsewhere": [],
    } | changes


def unseen(cell: Record, draws: int = 10) -> Record:
    """Make a cell one of which nothing is claimed, and so many draws are not told from rounding."""
    left = cell["draws"] - draws
    return cell | {"claimed": False, "killed": left, "localised": left, "indistinguishable": draws}


def miss(cell: Record, seed: int = 4) -> Record:
    """Make a cell miss a draw."""
    found = {"killed": cell["killed"] - 1, "localised": cell["localised"] - 1}
    return cell | found | {"missed": 1, "misses": [{"seed": seed, "change": 13.2}]}


def displace(cell: Record, *places: tuple[str, int]) -> Record:
    """Make a cell localise a draw for each place there."""
    draws = [{"seed": 3 + i, "found": list(place), "ratio": 1.5 + i} for i, place in enumerate(places)]
    return cell | {"localised": cell["killed"] - len(draws), "elsewhere": draws}


def matrix() -> list[Record]:
    """Three faults in three engines and two formats: all that is claimed is killed."""
    cells = []
    for engine in FAULT_ENGINES:
        for name in ("transposed-weight", "loss-summed", "delta-in-half"):
            for dtype in ("float32", "bfloat16"):
                for stage in STAGES:
                    cell = kill(name, engine, dtype, stage=stage)
                    if engine == "torch-compile" and (dtype, name) != ("float32", "loss-summed"):
                        continue
                    if (name, dtype) == ("delta-in-half", "bfloat16"):
                        cell = unseen(cell, 10 if stage == STAGES[0] else 4)
                    cells.append(cell)
    return cells


def checker(rule: str = "audit", share: float = 1.0, refused: int = 0, **changes: Any) -> Record:
    """A row beside other checkers: a share of 20 faults, of two draws each, and alarms in 8 honest draws a stage."""
    n = round(20 * share)
    killed = {"faults": n, "of": 20, "draws": 2 * n, "of_draws": 40}
    return {
        "rule": rule,
        "engine": "torch-eager",
        "source": None,
        "numbers": None,
        "called": True,
        "killed": {stage: dict(killed) for stage in STAGES},
        "false_alarms": {stage: {"draws": refused, "of_draws": 8} for stage in STAGES},
        "milliseconds": 0.531,
    } | changes


CLOSE = {"source": "https://example.org/close", "numbers": "|o − e| ≤ 1e-5", "called": False}
"""What a rule of another project says of itself."""


def limit(equation: str = "14", dtype: str = "float32", **changes: Any) -> Record:
    """A row of the smallest detectable faults."""
    size = {"in_u": 1234.0, "median_in_u": 45.6, "floor_in_u": 1200.0, "floor_median_in_u": 44.4}
    return {
        "equation": equation,
        "dtype": dtype,
        "engine": "torch-eager",
        "network": "tanh → sigmoid, half_squared_error",
        "draws": 500,
        "verified": 10,
        "one": dict(size),
        "all": {key: value / 100 for key, value in size.items()},
    } | changes


def audited(engine: str = "numpy", dtype: str = "float32", kind: str = "ordinary", **changes: Any) -> Record:
    """Honest cases of one kind, in one engine and format."""
    return {
        "engine": engine,
        "dtype": dtype,
        "kind": kind,
        "cases": 50,
        "numbers": 33650,
        "redrawn": 0,
        "worst": 0.6563,
        "equation": "a",
        "alarms": 0,
        "seconds": 0.1,
    } | changes


def alarm(**changes: Any) -> Record:
    """A false alarm."""
    return {
        "engine": "numpy",
        "dtype": "float32",
        "kind": "kinks",
        "index": 17,
        "seed": 2026,
        "combination": ["tanh", "sigmoid", "half_squared_error"],
        "equation": "14",
        "layer": 2,
        "ratio": 1.003,
        "worst": None,
        "replay": "reports.faults.false_alarms.replay('numpy', 2026, 'kinks', 'float32', 17)",
    } | changes


def honest() -> Record:
    """Honest cases of two engines, formats and kinds, without an alarm."""
    by = [audited(e, d, k) for e in ENGINES[:2] for d in ("float32", "bfloat16") for k in ("ordinary", "kinks")]
    return {
        "cases": sum(row["cases"] for row in by),
        "numbers": sum(row["numbers"] for row in by),
        "alarms": [],
        "explained": {"findings": 18, "rows": {"softplus-linear": 12, "celu/derivative": 6}},
        "not_run": [{"engine": "torch-eager", "reason": "torch-eager has no loss 'log_cosh'", "cases": 12}],
        "by": by,
        "seconds": 3.5,
    }


def proved(**changes: Any) -> Record:
    """Every part of the measurements of seeded faults, as it should be."""
    return {
        "request": {
            "engines": list(FAULT_ENGINES),
            "dtypes": ["float32", "bfloat16"],
            "seeds": 10,
            "cases": 400,
            "seed": 2026,
            "parts": ["matrix", "beside", "smallest", "alarms"],
            "workers": 2,
        },
        "panel": [dict(about) for about in PANEL],
        "not_run": [],
        "matrix": matrix(),
        "beside": [
            checker(),
            checker("close", 0.5, **CLOSE),
            checker("strict", 1.0, 8, **CLOSE),
            checker("gradcheck", 0.25),
        ],
        "smallest": [
            *(limit(equation, dtype) for dtype in ("float32", "bfloat16") for equation in ("9", "14")),
            limit("9", network="tanh → softmax, categorical_cross_entropy"),
        ],
        "alarms": honest(),
    } | changes


def without(part: str) -> Record:
    """The same, with a part that was not measured."""
    return {key: value for key, value in proved().items() if key != part}


def with_cell(change: Any, at: int = 0) -> Record:
    """The same, with one cell of the matrix changed."""
    found = proved()
    found["matrix"][at] = change(found["matrix"][at])
    return found


def alone(found: Record | None = None) -> Results:
    """Measurements of seeded faults without a campaign."""
    return empty(2026, "2026-11-24T07:00:00+00:00") | {"faults": found or proved()}
