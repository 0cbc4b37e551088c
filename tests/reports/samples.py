"""Results of campaigns that were never run, for the tests of what is made of results."""

from typing import Any

import numpy as np

from reference.audit import EQUATIONS
from reports.results import SCHEMA

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
