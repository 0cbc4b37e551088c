"""Whole Cases, from ordinary to extreme: every engine's trace holds, and a fault is shrunk to a file that shows it."""

import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, assume, given, settings

from adapters.contract import ENGINES, lacks
from adapters.numpy.engine import NumpyEngine
from reference.audit import audit, audit_composed
from reference.case import read
from reference.network import trace as reference_trace
from reports.campaign import failing_cases
from reports.divergences.known import KNOWN
from reports.results.files import jsonable
from tests.arithmetics import arithmetic
from tests.strategies import EVERY_KIND, WITHIN, cases

LONGER = int(os.environ.get("FUZZ", "1"))

EXAMPLES = {"numpy": 100, "torch-eager": 60, "jax-jit": 6, "jax-whole": 3}

SMALL = {"layers": (1, 3), "units": 8, "samples": (1, 8)}
"""What a compiler is given."""

FAILURES = Path("reports/build/failures")


def findings_of(engine, case, name):
    """Everything that the audit says of a trace."""
    with np.errstate(all="ignore"):
        trace = engine.trace(case)
        return audit(case, trace, arithmetic(name)) + audit_composed(case, trace, arithmetic(name))


def departs(case, name):
    """Whether an entry of KNOWN speaks of this engine somewhere in this Case."""
    with np.errstate(all="ignore"):
        z = reference_trace(case).z
    samples = list(zip(z[case.last], case.y, strict=True))
    places = [(role, row, y) for role in ("output", "loss") for row, y in samples]
    places += [("output", row[t : t + 1], y) for row, y in samples for t in range(len(row))]
    places += [("hidden", z[l][i, t : t + 1], case.y[i]) for l in z for i, t in np.ndindex(z[l].shape)]
    return any(
        known.covers(name, getattr(case, role), what, case.dtype, (row, y, case.parameters_of(role)))
        for role, row, y in places
        for what in ("value", "derivative")
        for known in KNOWN
    )


def hold(engine, name, examples, folder, **about):
    """Draw Cases and audit their traces; raises AssertionError with the smallest that breaks, which is written."""

    @settings(max_examples=examples, suppress_health_check=list(HealthCheck))
    @given(case=cases(**about))
    def check(case):
        assume(lacks(engine, case) is None)
        broken = [finding for finding in findings_of(engine, case, name) if not finding.holds]
        if not broken or departs(case, name):
            return
        worst = {"case": 0, **jsonable(vars(broken[0].worst))} if broken[0].worst else None
        about = {"equation": broken[0].equation, "layer": broken[0].layer, "worst": worst}
        path = failing_cases.save(folder, f"{name}-whole-case", case, name, about)[0] if worst else None
        raise AssertionError(f"{name} breaks {broken[0]} in {case}: python -m reports replay {path}")

    check()


@pytest.mark.parametrize("name", ENGINES)
def test_every_trace_holds(name, engine_named):
    about = {"kinds": EVERY_KIND if name == "numpy" else WITHIN, **(SMALL if name.startswith("jax") else {})}
    hold(engine_named(name), name, EXAMPLES[name] * LONGER, FAILURES, **about)


class Wrong(NumpyEngine):
    """δ of the second layer of three is off by 1 %, in samples of a batch of at least two."""

    def trace(self, case):
        trace = super().trace(case)
        if len(case.layers) < 3 or case.samples < 2:
            return trace
        return replace(trace, delta={**trace.delta, 2: trace.delta[2] * 1.01})


def test_a_fault_is_shrunk_to_a_file_that_shows_it(tmp_path):
    with pytest.raises(AssertionError, match=r"breaks .*'14'.*replay") as error:
        hold(Wrong(), "numpy", 500, tmp_path, kinds=("ordinary",), units=6, samples=(1, 6), dtypes=("float32",))
    case = read(tmp_path / "numpy-whole-case.json")
    assert str(tmp_path / "numpy-whole-case.json") in str(error.value)
    assert (len(case.layers), case.samples) == (3, 2)
    assert [len(case.b[l]) for l in case.layers] == [1, 1, 1]
    assert any(not finding.holds for finding in findings_of(Wrong(), case, "numpy"))
    assert all(finding.holds for finding in findings_of(NumpyEngine(), case, "numpy"))
    assert {path.suffix for path in tmp_path.iterdir()} == {".json", ".py"}
