"""Calls of verbs, and what they leave, for the tests of the commands."""

import json

import numpy as np

from reference.case import to_json
from reference.cases import Combination, Shape, draw_case

LOSSES_ASKED = ("half_squared_error", "binary_cross_entropy", "binary_cross_entropy_on_logits")

SMALL = (
    *("--engines", "numpy", "--hidden", "tanh", "--output", "sigmoid", "--loss", ",".join(LOSSES_ASKED)),
    *("--cases", "2", "--further", "1", "--workers", "1", "--no-training", "--no-divergences"),
)
"""A small audit; without its first two words, of another engine."""

GOOD = """
from adapters.numpy.engine import NumpyEngine
class Mine(NumpyEngine):
    name = "mine"
"""

BROKEN = """
from dataclasses import replace
from adapters.numpy.engine import NumpyEngine
class Mine(NumpyEngine):
    name = "mine"
    def trace(self, case):
        trace = super().trace(case)
        return replace(trace, db={**trace.db, 2: 2 * trace.db[2]})
"""


def written(folder):
    return json.loads((folder / "results.json").read_text(encoding="utf-8"))


def case_text(**changes):
    """A Case as JSON, with some of its fields changed."""
    case = draw_case(
        np.random.default_rng(0), Combination("tanh", "sigmoid", "binary_cross_entropy"), Shape((3, 4, 2), 5), "float32"
    )
    return json.dumps({**json.loads(to_json(case)), **changes})


def refused(call, out, *arguments):
    """The one line on stderr; the exit status is 2, and the old results stay."""
    status, text, err = call(*arguments)
    assert status == 2, f"the exit status is {status}, but should be 2: {text}{err}"
    assert err.startswith("error: "), f"stderr is {err!r}, but should start with 'error: '"
    assert err.endswith("\n"), f"stderr is {err!r}, but should end its line"
    assert len(err.splitlines()) == 1, f"stderr is {err!r}, but should be one line"
    assert "Traceback" not in text + err
    assert (out / "results.json").read_text() == "before", "the old results are gone"
    assert sorted(path.name for path in out.iterdir()) == ["results.json"], "something was written beside them"
    return err
