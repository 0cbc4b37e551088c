"""A long run: every step audited, the same numbers whether it was killed or not."""

import json
import subprocess
import sys

import numpy as np
import pytest

from adapters.numpy.engine import NumpyEngine
from reports.results.files import ResultsError, jsonable
from reports.trajectories import long_run, summary
from reports.trajectories.long_run import thinned

STEPS, SEED = 60, 7


@pytest.fixture(autouse=True)
def often(monkeypatch):
    """A file every ten steps."""
    monkeypatch.setattr(long_run, "EVERY", 10)


def made(folder, engine=None, told=None, count=STEPS, dtype="float32"):
    told = [] if told is None else told
    return long_run.long_run(engine or NumpyEngine(), "cpu", dtype, count, SEED, folder, told.append)


def numbers(record):
    """All but the memory, which is another process's."""
    return json.dumps(jsonable({name: value for name, value in record.items() if name != "memory"}))


def test_every_step_is_audited_and_a_file_is_written_now_and_then(tmp_path):
    told = []
    record = made(tmp_path, told=told)
    assert (record["steps"], record["verdict"], record["first"]) == (STEPS, "holds", None)
    assert summary.step_locked(record)
    assert told == [10, 20, 30, 40, 50, 60]
    assert [len(values) for values in record["curves"].values()] == [STEPS] * 3
    assert record["checked"]["adam: w"][2] == STEPS * (64 * 32 + 32 * 10 + 32 + 10)
    assert [path.name for path in tmp_path.iterdir()] == ["long-numpy-cpu-float32.npz"]


KILLED = """
import sys
from pathlib import Path

from adapters.contract import load
from reports.trajectories import long_run

long_run.EVERY = 10
engine, folder = sys.argv[1:]
tell = lambda done: print(done, flush=True)
long_run.long_run(load(engine), "cpu", "float32", 60, 7, Path(folder), tell)
"""


@pytest.mark.parametrize(
    "engine", ["numpy", *(pytest.param(name, marks=pytest.mark.exhaustive) for name in ("torch-eager", "jax-jit"))]
)
def test_a_run_that_is_killed_goes_on_with_the_same_numbers(engine, engine_named, tmp_path):
    whole, cut = tmp_path / "whole", tmp_path / "cut"
    whole.mkdir()
    cut.mkdir()
    with subprocess.Popen([sys.executable, "-c", KILLED, engine, str(cut)], stdout=subprocess.PIPE, text=True) as run:
        while int(run.stdout.readline()) < 20:
            pass
        run.kill()
    assert run.returncode == -9
    told = []
    record = made(cut, engine_named(engine), told)
    assert told[0] >= 30
    assert numbers(record) == numbers(made(whole, engine_named(engine)))


class Late(NumpyEngine):
    """In its 25th step, something kept is wrong."""

    def train(self, case, plan):
        for number, step in enumerate(super().train(case, plan), start=plan.done):
            if number == 25:
                step.new_state["b", 1]["v"][3] *= 1.01
            yield step


def test_a_break_is_named_and_remembered(tmp_path):
    record = made(tmp_path, Late())
    assert {name: record["first"][name] for name in ("step", "equation", "layer")} == {
        "step": 25,
        "equation": "adam: v",
        "layer": 1,
    }
    assert not summary.step_locked(record)
    assert numbers(made(tmp_path, Late())) == numbers(record)


def test_another_run_starts_anew(tmp_path):
    made(tmp_path)
    told = []
    made(tmp_path, told=told, count=20)
    assert told == [10, 20]


def test_a_file_that_is_none_is_refused(tmp_path):
    (tmp_path / "long-numpy-cpu-float32.npz").write_bytes(b"no archive")
    with pytest.raises(ResultsError, match="is not the progress of a long run"):
        made(tmp_path)


def test_a_finished_run_is_not_made_again(tmp_path):
    class Never(NumpyEngine):
        def train(self, case, plan):
            assert not plan.batches
            return super().train(case, plan)

    assert numbers(made(tmp_path)) == numbers(made(tmp_path, Never()))


def test_thinned_curves_keep_what_is_largest():
    values = [float(n) for n in range(1000)]
    assert thinned(values) == [float(n) for n in range(3, 1000, 4)]
    assert np.isnan(thinned([*values, float("nan")])[-1])
    assert thinned([1.0, 2.0]) == [1.0, 2.0]


@pytest.mark.parametrize(
    "wrong", [{"verdict": "breaks"}, {"checked": {}}, {"checked": {"z": [1.5, 1, 3]}}, {"checked": {"z": [0.5, 1, 0]}}]
)
def test_what_does_not_go_far(wrong, tmp_path):
    record = made(tmp_path, count=10)
    assert summary.step_locked(record)
    assert not summary.step_locked({**record, **wrong})
