"""A seeded fault: what it breaks, what findings name it, and where it is said to show."""

from dataclasses import replace

import pytest

from adapters.faults.fault import CONVERGED, INITIAL, OUTPUT, PRECISIONS, SITES
from reference.audit import EQUATIONS
from reference.rounding import DTYPES, UNIT_ROUNDOFF
from tests.adapters.faults.samples import BACKWARD, FORWARD, planted_at


def test_sites_break_equations_of_the_note():
    assert {equation for equation, _ in SITES.values()} == {"z", "a", "8", "1", "9", "14", "7a", "7b"}
    assert {equation for equation, _ in SITES.values()} <= set(EQUATIONS)
    assert (*FORWARD, *BACKWARD) == tuple(SITES)


def test_precisions_are_all_the_formats_from_the_coarsest_on():
    assert sorted(PRECISIONS) == sorted(DTYPES)
    assert sorted(PRECISIONS, key=UNIT_ROUNDOFF.get, reverse=True) == list(PRECISIONS)


@pytest.mark.parametrize(
    ("site", "layer", "broken", "also"),
    [
        ("z", 2, ("z", 2), None),
        ("a", 2, ("a", 2), ("14", 2)),
        ("a", 3, ("a", 3), ("9", 3)),
        ("8", 3, ("8", 3), ("9", 3)),
        ("1", 3, ("1", 3), ("9", 3)),
        ("dL", 3, ("9", 3), None),
        ("f_o'", 3, ("9", 3), None),
        ("f_h'", 2, ("14", 2), None),
        ("δW", 2, ("14", 1), None),
        ("δW", 3, ("14", 2), None),
        ("dW", 1, ("7a", 1), None),
        ("db", 2, ("7b", 2), None),
    ],
)
def test_a_fault_is_named_by_what_it_breaks_and_by_the_derivative_of_a_wrong_value(site, layer, broken, also):
    fault = planted_at(site, layer=layer)
    assert fault.breaks == broken
    named = {(e, l) for e in EQUATIONS for l in range(1, OUTPUT + 1) if fault.names(e, l)}
    assert named == {broken, also} - {None}


@pytest.mark.parametrize(
    ("sees", "trained", "stage", "exceeding"),
    [
        ("bfloat16", None, INITIAL, PRECISIONS),
        ("float16", None, INITIAL, ("float16", "float32", "float64")),
        ("float32", None, INITIAL, ("float32", "float64")),
        ("float64", None, INITIAL, ("float64",)),
        ("bfloat16", None, CONVERGED, ("float32", "float64")),
        ("float32", None, CONVERGED, ("float32", "float64")),
        ("float64", None, CONVERGED, ("float64",)),
        ("bfloat16", "float64", CONVERGED, ("float64",)),
        ("bfloat16", "float64", INITIAL, PRECISIONS),
        ("bfloat16", "", CONVERGED, ()),
        ("bfloat16", "", INITIAL, PRECISIONS),
    ],
)
def test_a_fault_exceeds_the_rounding_of_what_sees_it_and_of_what_is_finer(sees, trained, stage, exceeding):
    fault = replace(planted_at("z"), sees=sees, trained=trained)
    assert tuple(dtype for dtype in PRECISIONS if fault.exceeds(dtype, stage)) == exceeding
