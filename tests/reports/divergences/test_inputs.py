"""The inputs: numbers of the format that reach its ends, and a function's limits beyond them."""

import numpy as np
import pytest

from reference.activations import ACTIVATIONS
from reference.rounding import FORMATS, LARGEST, UNIT_ROUNDOFF
from reports.divergences import inputs


def test_inputs_are_numbers_of_the_format_and_reach_its_ends(dtype):
    z = inputs.scalars([0.5], dtype)
    assert np.array_equal(z, z.astype(FORMATS[dtype]).astype(np.float64), equal_nan=True)
    assert len(z) == len(set(z[:-1])) + 1
    for x in (0.0, 0.5, 20.5, -1000.0, LARGEST[dtype], -np.inf):
        assert x in z
    assert np.isnan(z[-1])
    below, above = z[z < 0.5].max(), z[z > 0.5].min()
    assert 0 < 0.5 - below <= 0.5 * 2 * UNIT_ROUNDOFF[dtype]
    assert 0 < above - 0.5 <= 2 * UNIT_ROUNDOFF[dtype]
    smallest = np.nanmin(np.abs(z[z != 0]))
    assert smallest == np.nextafter(np.zeros((), FORMATS[dtype]), np.ones((), FORMATS[dtype]))


@pytest.mark.parametrize(
    ("name", "z", "value", "derivative"),
    [
        ("silu", -np.inf, 0, 0),
        ("silu", np.inf, np.inf, 1),
        ("sigmoid", np.inf, 1, 0),
        ("squareplus", 1.7e308, 1.7e308, 1),
        ("squareplus", -np.inf, 0, 0),
        ("leaky_relu", -1.7e308, -1.7e306, 0.01),
        ("tanhshrink", -np.inf, -np.inf, 1),
    ],
)
def test_at_infinity_the_equation_is_its_limit(name, z, value, derivative):
    f = ACTIVATIONS[name]
    with np.errstate(all="ignore"):
        assert inputs.extended(f.value, np.array([z])) == pytest.approx(value)
        assert inputs.extended(f.derivative, np.array([z])) == pytest.approx(derivative)
