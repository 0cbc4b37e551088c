"""A long run on digits: thousands of audited steps, which survive the death of their process.

Every `EVERY` steps, all that the rest depends on is written to one file: the engine's weights and optimiser state, the
reference's, what was found, and the curves. A run that was killed goes on from there, with the same numbers.
"""

import json
import math
import os
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from adapters.contract import Adapter
from reference import network
from reference.arrays import Array, Place, layers, tree
from reference.audit import Finding, Worst
from reference.optimisers import States
from reference.training import Plan, Step, train
from reports.results.files import ResultsError
from reports.results.journal import measured_with, source
from reports.results.records import Record
from reports.running.engines import loaded
from reports.running.tally import Tally, shortened
from reports.trajectories.runs import first_break, of_set
from reports.trajectories.setups import on_digits, start
from reports.trajectories.steps import flat, steps

SCHEMA = "backprop-parity/long-run/1"
EVERY = 500

CURVES = ("loss", "ratio", "distance")


LEARNING_RATE = 1e-3


@dataclass
class Progress:
    """What was done until now: steps, what the last left in the engine and in the reference, and what was found."""

    done: int
    w: Mapping[Place, Array]
    state: States
    right_w: Mapping[Place, Array]
    right_state: States
    tally: Tally = field(default_factory=Tally)
    curves: dict[str, list[float]] = field(default_factory=lambda: {name: [] for name in CURVES})
    first: Record | None = None


def long_run(
    adapter: Adapter, device: str, dtype: str, count: int, seed: int, folder: Path, tell: Callable[[int], None]
) -> Record:
    """Train an engine for so many steps, every one audited; `tell` is told of each file that was written."""
    split, case, plan = start(on_digits(count, LEARNING_RATE), dtype, seed)
    about = header(adapter.name, device, dtype, count, seed)
    path = folder / f"long-{adapter.name}-{device}-{dtype}.npz"
    begun = tree(case.W, case.b), plan.start(case.W, case.b, dtype)
    exact = begun[0], plan.start(case.W, case.b, "float64")
    progress = opened(path, about) or Progress(0, *begun, *exact)
    from_there = case.with_parameters(layers(progress.w, "W"), layers(progress.w, "b"))
    right_case = replace(case, dtype="float64").with_parameters(
        layers(progress.right_w, "W"), layers(progress.right_w, "b")
    )
    made = steps(adapter, device, from_there, rest(plan, progress.done, progress.state), progress.tally)
    right = train(right_case, rest(plan, progress.done, progress.right_state), network.trace)
    memory = [resident()]
    with np.errstate(all="ignore"):  # what is not finite is a finding, not a warning
        for audited, reference in zip(made, right, strict=True):
            take(progress, audited.step, reference, audited.ratio, audited.findings)
            if progress.done % EVERY == 0 or progress.done == count:
                write(path, about, progress)
                memory.append(resident())
                tell(progress.done)
    trained = case.with_parameters(layers(progress.w, "W"), layers(progress.w, "b"))
    scored = {name: of_set(adapter, trained.on_batch(*getattr(split, name))) for name in split._fields}
    return {
        "engine": adapter.name,
        "device": device,
        "dtype": dtype,
        "steps": progress.done,
        "verdict": "holds" if progress.tally.holds() else "breaks",
        "checked": progress.tally.checked(),
        "findings": progress.tally.broken(),
        "first": progress.first,
        "curves": progress.curves,
        "scores": scored,
        "memory": [memory[min(1, len(memory) - 1)], memory[-1]],
    }


def in_worker(engine: str, device: str, dtype: str, count: int, seed: int, folder: Path) -> Record:
    """The record of a long run, with its curves thinned, for a worker process."""
    record = long_run(loaded(engine, device), device, dtype, count, seed, folder, lambda done: None)
    return {**record, "curves": {name: thinned(values) for name, values in record["curves"].items()}}


POINTS = 250


def thinned(values: list[float]) -> list[float]:
    """The largest of every so many, so that no more than `POINTS` are left."""
    width = max(1, -(-len(values) // POINTS))
    return [max(values[start : start + width], key=nan_first) for start in range(0, len(values), width)]


def nan_first(value: float) -> float:
    return math.inf if math.isnan(value) else value


def rest(plan: Plan, done: int, states: States) -> Plan:
    """What is left of a plan."""
    return replace(plan, batches=plan.batches[done:], done=done, states=states)


def take(progress: Progress, step: Step, right: Step, ratio: float, findings: list[Finding]) -> None:
    """A step more."""
    progress.first = progress.first or first_break(progress.done, findings)
    progress.w, progress.state = tree(step.new_W, step.new_b), step.new_state
    progress.right_w, progress.right_state = tree(right.new_W, right.new_b), right.new_state
    away = flat(step.new_W, step.new_b) - flat(right.new_W, right.new_b)
    progress.curves["loss"].append(float(step.trace.loss))
    progress.curves["ratio"].append(shortened(ratio))
    progress.curves["distance"].append(float(np.linalg.norm(away)))
    progress.done += 1


def resident() -> float:
    """MiB that this process has in memory; 0 where the system does not say."""
    statm = Path("/proc/self/statm")
    pages = int(statm.read_text().split()[1]) if statm.is_file() else 0
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


# --- the file


def header(engine: str, device: str, dtype: str, count: int, seed: int) -> Record:
    """What the numbers depend on: progress of anything else is another run's."""
    about = {"schema": SCHEMA, "engine": engine, "device": device, "dtype": dtype, "steps": count, "seed": seed}
    return {**about, "source": source("reference", "adapters", "reports"), **measured_with()}


def write(path: Path, about: Record, progress: Progress) -> None:
    """Write the progress whole or not at all."""
    worst = [
        {"key": list(key), "finding": asdict(finding), "case": case, "elements": progress.tally.elements[key]}
        | {"diagnosis": progress.tally.diagnoses.get(key)}
        for key, (finding, case) in progress.tally.worst.items()
    ]
    said = {"about": about, "done": progress.done, "first": progress.first, "worst": worst}
    arrays: dict[str, Any] = {
        **{f"{of} {which}{l}": array for of, w in weights(progress) for (which, l), array in w.items()},
        **{
            f"{of} {which}{l} {name}": np.asarray(value)
            for of, states in kept(progress)
            for (which, l), state in states.items()
            for name, value in state.items()
        },
        **{f"curve {name}": np.array(values) for name, values in progress.curves.items()},
    }
    partial = path.with_name(path.name + ".partial")
    try:
        with partial.open("wb") as file:
            np.savez(file, said=np.array(json.dumps(said)), **arrays)
        partial.replace(path)
    except OSError as error:
        raise ResultsError(f"{str(path)!r} cannot be written: {error.strerror}") from error


def weights(progress: Progress) -> tuple[tuple[str, Mapping[Place, Array]], ...]:
    return ("w", progress.w), ("right", progress.right_w)


def kept(progress: Progress) -> tuple[tuple[str, States], ...]:
    return ("w", progress.state), ("right", progress.right_state)


def opened(path: Path, about: Record) -> Progress | None:
    """The progress in a file; None where there is none, or that of another run, whose place the new one takes.

    Raises ResultsError for a file that holds no progress at all.
    """
    if not path.exists():
        return None
    try:
        with np.load(path, allow_pickle=False) as file:
            said = json.loads(str(file["said"]))
            arrays = {name: file[name] for name in file.files if name != "said"}
    except (OSError, ValueError, KeyError) as error:
        raise ResultsError(f"{str(path)!r} is no progress of a long run: {error}; remove it") from error
    if said["about"] != about:
        return None
    progress = Progress(said["done"], {}, {}, {}, {}, first=said["first"])
    progress.w, progress.right_w = (weights_of(arrays, of) for of in ("w", "right"))
    progress.state, progress.right_state = (states_of(arrays, of) for of in ("w", "right"))
    progress.curves = {name: arrays[f"curve {name}"].tolist() for name in CURVES}
    for entry in said["worst"]:
        key, finding = (entry["key"][0], entry["key"][1]), entry["finding"]
        place = finding["worst"] and Worst(**{**finding["worst"], "index": tuple(finding["worst"]["index"])})
        progress.tally.worst[key] = Finding(**{**finding, "worst": place}), entry["case"]
        progress.tally.elements[key] = entry["elements"]
        if not progress.tally.worst[key][0].holds:
            progress.tally.diagnoses[key] = entry["diagnosis"]
    return progress


def weights_of(arrays: Mapping[str, Array], of: str) -> dict[Place, Array]:
    """W and b by place."""
    parts = ((name.split(" "), array) for name, array in arrays.items())
    return {(part[1][0], int(part[1][1:])): array for part, array in parts if part[0] == of and len(part) == 2}


def states_of(arrays: Mapping[str, Array], of: str) -> States:
    """What is kept by place: single numbers as numbers."""
    found: dict[Place, dict[str, Array | float]] = {}
    for name, array in arrays.items():
        part = name.split(" ")
        if part[0] == of and len(part) == 3:
            place = part[1][0], int(part[1][1:])
            found.setdefault(place, {})[part[2]] = array if array.ndim else float(array)
    return found
