"""A long run on digits: thousands of audited steps, which survive the death of their process.

Every `EVERY` steps, all that later steps depend on is written to one file: weights and optimiser states of the engine
and of the reference, the worst findings, and the curves. A run that was killed goes on from there, with the same
numbers. The file is an archive of arrays, not a journal of lines: each state is exact, and replaces the one before.
"""

import json
import math
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, NamedTuple, cast

import numpy as np

from adapters.contract import Adapter
from reference import network
from reference.arrays import Array, Place, layers, tree
from reference.audit import Finding, Worst
from reference.case import Case
from reference.optimisers import States
from reference.training import Plan, Step, train
from reports.results.files import ResultsError, number
from reports.results.journal import measured_with, source
from reports.results.records import Number
from reports.results.trajectory_records import Curves, FirstBreak, LongRun
from reports.results.verdicts import Verdict
from reports.running.engines import loaded
from reports.running.tally import Tally, shortened
from reports.running.workers import resident
from reports.trajectories.follow import follow
from reports.trajectories.runs import scores
from reports.trajectories.setups import adam_on_digits, draw_run
from reports.trajectories.steps import AuditedStep, flat

SCHEMA = "backprop-parity/long-run/1"
EVERY = 500

CURVES = ("loss", "ratio", "distance")

LEARNING_RATE = 1e-3


@dataclass
class Progress:
    """The state of a run: steps done, weights and states in the engine and in the reference, findings, curves."""

    done: int
    w: Mapping[Place, Array]
    state: States
    right_w: Mapping[Place, Array]
    right_state: States
    tally: Tally = field(default_factory=Tally)
    curves: Curves = field(default_factory=lambda: {name: [] for name in CURVES})
    first: FirstBreak | None = None

    def add(self, audited: AuditedStep, right: Step) -> None:
        """Take in a step of the engine and the same of the reference."""
        step = audited.step
        self.first = self.first or audited.first_break
        self.w, self.state = tree(step.new_W, step.new_b), step.new_state
        self.right_w, self.right_state = tree(right.new_W, right.new_b), right.new_state
        distance = flat(step.new_W, step.new_b) - flat(right.new_W, right.new_b)
        self.curves["loss"].append(float(step.trace.loss))
        self.curves["ratio"].append(shortened(audited.ratio))
        self.curves["distance"].append(float(np.linalg.norm(distance)))
        self.done += 1


def long_run(
    adapter: Adapter, device: str, dtype: str, count: int, seed: int, folder: Path, tell: Callable[[int], None]
) -> LongRun:
    """Train an engine for so many steps, each audited; `tell` gets the steps done whenever a file was written."""
    split, case, plan = draw_run(adam_on_digits(count, LEARNING_RATE), dtype, seed)
    about = header(adapter.name, device, dtype, count, seed)
    path = folder / f"long-{adapter.name}-{device}-{dtype}.npz"
    begun = tree(case.W, case.b), plan.start(case.W, case.b, dtype)
    exact = begun[0], plan.start(case.W, case.b, "float64")
    progress = opened(path, about) or Progress(0, *begun, *exact)
    right_case = with_weights(replace(case, dtype="float64"), progress.right_w)
    right = train(right_case, remaining(plan, progress.done, progress.right_state), network.trace)
    memory = [resident(os.getpid())]

    def keep(audited: AuditedStep) -> None:
        progress.add(audited, next(right))
        if progress.done % EVERY == 0 or progress.done == count:
            write(path, about, progress)
            memory.append(resident(os.getpid()))
            tell(progress.done)

    left = remaining(plan, progress.done, progress.state)
    followed = follow(adapter, device, with_weights(case, progress.w), left, progress.tally, keep)
    broken = progress.tally.broken()
    verdict = (
        Verdict.BREAKS if broken else followed.verdict or (Verdict.HOLDS if progress.tally.holds() else Verdict.BREAKS)
    )
    record = {
        "engine": adapter.name,
        "device": device,
        "dtype": dtype,
        "steps": progress.done,
        "verdict": verdict,
        "checked": progress.tally.checked(),
        "findings": broken,
        "first": progress.first,
        "curves": progress.curves,
        "scores": {} if followed.verdict else scores(adapter, with_weights(case, progress.w), split),
        "memory": [memory[min(1, len(memory) - 1)], memory[-1]],
    }
    return cast(LongRun, record if followed.reason is None else {**record, "reason": followed.reason})


def with_weights(case: Case, w: Mapping[Place, Array]) -> Case:
    """The Case at other weights."""
    return case.with_parameters(layers(w, "W"), layers(w, "b"))


class LongRunRequest(NamedTuple):
    """A long run that a worker makes."""

    engine: str
    device: str
    dtype: str
    steps: int
    seed: int
    folder: Path


def record_of(asked: LongRunRequest) -> LongRun:
    """The record of a long run, with its curves thinned."""
    engine, device, dtype, count, seed, folder = asked
    record = long_run(loaded(engine, device), device, dtype, count, seed, folder, lambda done: None)
    return {**record, "curves": {name: thinned(values) for name, values in record["curves"].items()}}


POINTS = 250


def thinned(values: Sequence[Number]) -> list[Number]:
    """The largest of every so many values, so that no more than `POINTS` are left."""
    width = max(1, -(-len(values) // POINTS))
    return [max(values[start : start + width], key=nan_first) for start in range(0, len(values), width)]


def nan_first(value: Number) -> float:
    return math.inf if math.isnan(number(value)) else number(value)


def remaining(plan: Plan, done: int, states: States) -> Plan:
    """The steps of a plan that are left."""
    return replace(plan, batches=plan.batches[done:], done=done, states=states)


# --- the file


def header(engine: str, device: str, dtype: str, count: int, seed: int) -> dict[str, Any]:
    """What the numbers depend on: the progress of a run that differs in it is not taken up."""
    about = {"schema": SCHEMA, "engine": engine, "device": device, "dtype": dtype, "steps": count, "seed": seed}
    return {**about, "source": source(__name__), **measured_with()}


def write(path: Path, about: Mapping[str, Any], progress: Progress) -> None:
    """Write the progress whole or not at all."""
    worst = [
        {"key": list(key), "finding": asdict(finding), "case": case, "elements": progress.tally.elements[key]}
        | {"diagnosis": progress.tally.diagnoses.get(key)}
        for key, (finding, case) in progress.tally.worst.items()
    ]
    summary = {"about": about, "done": progress.done, "first": progress.first, "worst": worst}
    arrays: dict[str, Any] = {
        **{f"{of} {which}{l}": array for of, w in weights_by_run(progress) for (which, l), array in w.items()},
        **{
            f"{of} {which}{l} {name}": np.asarray(value)
            for of, states in states_by_run(progress)
            for (which, l), state in states.items()
            for name, value in state.items()
        },
        **{f"curve {name}": np.array(values) for name, values in progress.curves.items()},
    }
    partial = path.with_name(path.name + ".partial")
    try:
        with partial.open("wb") as file:
            np.savez(file, summary=np.array(json.dumps(summary)), **arrays)
        partial.replace(path)
    except OSError as error:
        raise ResultsError(f"{str(path)!r} cannot be written: {error.strerror}") from error


def weights_by_run(progress: Progress) -> tuple[tuple[str, Mapping[Place, Array]], ...]:
    return ("w", progress.w), ("right", progress.right_w)


def states_by_run(progress: Progress) -> tuple[tuple[str, States], ...]:
    return ("w", progress.state), ("right", progress.right_state)


def opened(path: Path, about: Mapping[str, Any]) -> Progress | None:
    """The progress in a file; None where there is no file, or one of another run, which is then replaced.

    Raises ResultsError for a file that is not the progress of a long run.
    """
    if not path.exists():
        return None
    try:
        with np.load(path, allow_pickle=False) as file:
            summary = json.loads(str(file["summary"]))
            arrays = {name: file[name] for name in file.files if name != "summary"}
    except (OSError, ValueError, KeyError) as error:
        raise ResultsError(f"{str(path)!r} is not the progress of a long run: {error}; remove it") from error
    if summary["about"] != about:
        return None
    progress = Progress(summary["done"], {}, {}, {}, {}, first=summary["first"])
    progress.w, progress.right_w = (weights_of(arrays, of) for of in ("w", "right"))
    progress.state, progress.right_state = (states_of(arrays, of) for of in ("w", "right"))
    progress.curves = {name: arrays[f"curve {name}"].tolist() for name in CURVES}
    for entry in summary["worst"]:
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
    """The optimiser's state by place: single numbers as numbers."""
    states: dict[Place, dict[str, Array | float]] = {}
    for name, array in arrays.items():
        part = name.split(" ")
        if part[0] == of and len(part) == 3:
            place = part[1][0], int(part[1][1:])
            states.setdefault(place, {})[part[2]] = array if array.ndim else float(array)
    return states
