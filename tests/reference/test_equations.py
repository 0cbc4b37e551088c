"""Every equation against a plain loop over its indices.

Operands are small integers and the batch is a power of two, so float64 is exact and "equal" means to the last bit.
"""

import itertools

import numpy as np
import pytest

from reference import equations as eq

SIZES = [(1, 1, 1, 1), (1, 2, 3, 4), (2, 3, 3, 3), (4, 5, 2, 3), (8, 2, 4, 1)]
"""N, n^{l-1} (or n^l), n^l (or n^{l+1}), and the length of the output."""

SQUARE = (4, 3, 3, 3)


class Operands:
    """Integers from −4 to 4 for every quantity of the note, of one size."""

    def __init__(self, size, seed=0):
        rng = np.random.default_rng(seed)
        self.samples, self.inputs, self.units, self.outputs = size

        def draw(*shape):
            return rng.integers(-4, 5, size=shape).astype(float)

        self.W = draw(self.units, self.inputs)
        self.b = draw(self.units)
        self.a_prev = draw(self.samples, self.inputs)
        self.z = draw(self.samples, self.units)
        self.z_prev = draw(self.samples, self.inputs)
        self.df_prev = draw(self.samples, self.inputs)
        self.delta = draw(self.samples, self.units)
        self.dL_da = draw(self.samples, self.units)
        self.df = draw(self.samples, self.units)
        self.jacobian = draw(self.samples, self.units, self.units)
        self.partial_losses = draw(self.samples)
        self.contributions = draw(self.samples, self.outputs)


@pytest.fixture(params=SIZES, ids=lambda size: "x".join(map(str, size)))
def drawn(request):
    return Operands(request.param)


def same(observed, expected):
    expected = np.array(expected, dtype=float)
    assert np.shape(observed) == expected.shape, f"shape is {np.shape(observed)}, but should be {expected.shape}"
    assert np.array_equal(observed, expected), f"is {observed}, but should be {expected}"


def table(*shape, of):
    """The array whose element at (i, j, …) is of(i, j, …)."""
    out = np.empty(shape)
    for index in itertools.product(*map(range, shape)):
        out[index] = of(*index)
    return out


def square(z):
    return z * z


# --- each by its number


def test_total_input(drawn):
    d = drawn
    expected = table(
        d.samples, d.units, of=lambda i, t: sum(d.W[t, f] * d.a_prev[i, f] for f in range(d.inputs)) + d.b[t]
    )
    same(eq.total_input(d.W, d.b, d.a_prev), expected)


def test_eq_1(drawn):
    d = drawn
    same(eq.eq_1(d.partial_losses), sum(d.partial_losses[i] for i in range(d.samples)) / d.samples)


def test_eq_2a(drawn):
    d = drawn
    dW = table(d.units, d.inputs, of=lambda t, f: t - 2 * f)
    same(eq.eq_2a(d.W, dW, 0.25), table(d.units, d.inputs, of=lambda t, f: d.W[t, f] - 0.25 * dW[t, f]))


def test_eq_2b(drawn):
    d = drawn
    db = table(d.units, of=lambda t: 3 * t - 1)
    same(eq.eq_2b(d.b, db, 0.25), table(d.units, of=lambda t: d.b[t] - 0.25 * db[t]))


def gradient_and_step(d):
    gradient = {"W": {1: d.W, 2: d.jacobian[0]}, "b": {1: d.b, 2: d.delta[0]}}
    step = {
        "W": {1: np.ones_like(d.W), 2: 2 * np.eye(d.units)},
        "b": {1: d.df[0], 2: -d.b},
    }
    return gradient, step


def test_eq_3(drawn):
    gradient, step = gradient_and_step(drawn)
    expected = 0.0
    for kind, l in itertools.product(("W", "b"), (1, 2)):
        for index in np.ndindex(gradient[kind][l].shape):
            expected += gradient[kind][l][index] * step[kind][l][index]
    same(eq.eq_3(gradient, step), expected)


def test_eq_3_leaves_out_what_is_of_second_order_in_the_step():
    """C = ½ v², so ΔC = v Δv + ½ Δv²: halving the step quarters what (3) leaves out."""
    left_out = []
    for size in (0.5, 0.25, 0.125):
        first_order = eq.eq_3({"W": {1: np.array([[3.0]])}, "b": {}}, {"W": {1: np.array([[size]])}, "b": {}})
        left_out.append(((3.0 + size) ** 2 - 3.0**2) / 2 - first_order)
    assert left_out == [0.125, 0.03125, 0.0078125]


def test_eq_4_is_eq_3_for_a_step_against_the_gradient(drawn):
    gradient, _ = gradient_and_step(drawn)
    against = {kind: {l: -0.25 * g for l, g in layers.items()} for kind, layers in gradient.items()}
    same(eq.eq_4(gradient, 0.25), eq.eq_3(gradient, against))
    assert eq.eq_4(gradient, 0.25) < 0
    nothing = {kind: {l: 0 * g for l, g in layers.items()} for kind, layers in gradient.items()}
    assert eq.eq_4(nothing, 0.25) == 0


def test_eq_5a(drawn):
    d = drawn
    expected = table(d.samples, d.units, d.inputs, of=lambda i, t, f: d.delta[i, t] * d.a_prev[i, f])
    same(eq.eq_5a(d.delta, d.a_prev), expected)


def test_eq_5b(drawn):
    d = drawn
    same(eq.eq_5b(d.delta, d.df), table(d.samples, d.units, of=lambda i, t: d.delta[i, t] * d.df[i, t]))


def test_eq_6a_is_the_derivative_of_z_with_respect_to_a_weight(drawn):
    """z is linear in w, so a central difference with step 1 is the derivative itself."""
    d = drawn
    for t, f in np.ndindex(d.W.shape):
        step = np.zeros_like(d.W)
        step[t, f] = 1
        difference = eq.total_input(d.W + step, d.b, d.a_prev) - eq.total_input(d.W - step, d.b, d.a_prev)
        expected = np.zeros_like(d.z)
        expected[:, t] = eq.eq_6a(d.a_prev)[:, f]
        same(difference / 2, expected)


def test_eq_6b_is_the_derivative_of_z_with_respect_to_a_bias(drawn):
    d = drawn
    for t in range(d.units):
        step = np.eye(d.units)[t]
        difference = eq.total_input(d.W, d.b + step, d.a_prev) - eq.total_input(d.W, d.b - step, d.a_prev)
        same(difference / 2, eq.eq_6b(d.z) * step)


def test_eq_7a(drawn):
    d = drawn
    expected = table(
        d.units,
        d.inputs,
        of=lambda t, f: sum(d.delta[i, t] * d.a_prev[i, f] for i in range(d.samples)) / d.samples,
    )
    same(eq.eq_7a(d.delta, d.a_prev), expected)
    same(eq.eq_5a(d.delta, eq.eq_6a(d.a_prev)).mean(axis=0), expected)


def test_eq_7b(drawn):
    d = drawn
    expected = table(d.units, of=lambda t: sum(d.delta[i, t] for i in range(d.samples)) / d.samples)
    same(eq.eq_7b(d.delta), expected)
    same(eq.eq_5b(d.delta, eq.eq_6b(d.z)).mean(axis=0), expected)


def test_eq_8(drawn):
    d = drawn
    same(eq.eq_8(d.contributions), table(d.samples, of=lambda i: sum(d.contributions[i, t] for t in range(d.outputs))))


def test_eq_9_elementwise_has_no_sum(drawn):
    d = drawn
    same(eq.eq_9(d.dL_da, d.df), table(d.samples, d.units, of=lambda i, t: d.dL_da[i, t] * d.df[i, t]))


def test_eq_9_coupled_sums_over_k(drawn):
    d = drawn
    expected = table(
        d.samples,
        d.units,
        of=lambda i, t: sum(d.dL_da[i, k] * d.jacobian[i, k, t] for k in range(d.units)),
    )
    same(eq.eq_9(d.dL_da, d.jacobian), expected)


def test_eq_9_for_a_diagonal_jacobian_is_the_elementwise_one(drawn):
    d = drawn
    diagonal = d.df[:, :, np.newaxis] * np.eye(d.units)
    same(eq.eq_9(d.dL_da, diagonal), eq.eq_9(d.dL_da, d.df))


@pytest.mark.parametrize("kind", ["elementwise", "coupled"])
def test_eq_10a(drawn, kind):
    d = drawn
    jacobian = d.jacobian if kind == "coupled" else d.df[:, :, np.newaxis] * np.eye(d.units)

    def gradient(t, f):
        return (
            sum(d.dL_da[i, k] * jacobian[i, k, t] * d.a_prev[i, f] for i in range(d.samples) for k in range(d.units))
            / d.samples
        )

    df = d.jacobian if kind == "coupled" else d.df
    same(eq.eq_10a(d.dL_da, df, d.a_prev), table(d.units, d.inputs, of=gradient))


@pytest.mark.parametrize("kind", ["elementwise", "coupled"])
def test_eq_10b(drawn, kind):
    d = drawn
    jacobian = d.jacobian if kind == "coupled" else d.df[:, :, np.newaxis] * np.eye(d.units)

    def gradient(t):
        return sum(d.dL_da[i, k] * jacobian[i, k, t] for i in range(d.samples) for k in range(d.units)) / d.samples

    same(eq.eq_10b(d.dL_da, d.jacobian if kind == "coupled" else d.df), table(d.units, of=gradient))


def test_eq_11(drawn):
    d = drawn
    dz_dz = table(d.samples, d.units, d.inputs, of=lambda i, t, f: (i + 2 * t - f) % 5 - 2)
    expected = table(d.samples, d.inputs, of=lambda i, f: sum(d.delta[i, t] * dz_dz[i, t, f] for t in range(d.units)))
    same(eq.eq_11(d.delta, dz_dz), expected)


def test_eq_12(drawn):
    d = drawn
    expected = table(
        d.samples,
        d.units,
        of=lambda i, t: sum(d.W[t, f] * d.z_prev[i, f] ** 2 for f in range(d.inputs)) + d.b[t],
    )
    same(eq.eq_12(d.W, d.b, square, d.z_prev), expected)


def test_eq_13(drawn):
    d = drawn
    expected = table(d.samples, d.units, d.inputs, of=lambda i, t, f: d.W[t, f] * d.df_prev[i, f])
    same(eq.eq_13(d.W, d.df_prev), expected)


def test_eq_13_is_the_derivative_of_eq_12(drawn):
    """With f_h(z) = z², (12) is quadratic, and a central difference with step 1 is the derivative itself."""
    d = drawn
    derivative = eq.eq_13(d.W, 2 * d.z_prev)
    for f in range(d.inputs):
        step = np.eye(d.inputs)[f]
        difference = eq.eq_12(d.W, d.b, square, d.z_prev + step) - eq.eq_12(d.W, d.b, square, d.z_prev - step)
        same(difference / 2, derivative[:, :, f])


def test_eq_14(drawn):
    d = drawn
    expected = table(
        d.samples,
        d.inputs,
        of=lambda i, f: d.df_prev[i, f] * sum(d.delta[i, t] * d.W[t, f] for t in range(d.units)),
    )
    same(eq.eq_14(d.df_prev, d.delta, d.W), expected)
    same(eq.eq_11(d.delta, eq.eq_13(d.W, d.df_prev)), expected)


# --- the note's slips, read literally


def test_literal_9_sums_over_the_free_index_and_is_something_else():
    d = Operands(SQUARE)
    literal = table(d.samples, d.units, of=lambda i, t: sum(d.dL_da[i, k] * d.df[i, k] for k in range(d.units)))
    assert not np.array_equal(eq.eq_9(d.dL_da, d.df), literal)


def test_eq_9_with_the_jacobian_transposed_is_something_else():
    d = Operands(SQUARE)
    assert not np.array_equal(eq.eq_9(d.dL_da, d.jacobian), eq.eq_9(d.dL_da, d.jacobian.transpose(0, 2, 1)))


def test_literal_12_and_13_transpose_the_weight_and_are_something_else():
    d = Operands(SQUARE)
    assert not np.array_equal(eq.eq_12(d.W, d.b, square, d.z), eq.eq_12(d.W.T, d.b, square, d.z))
    assert not np.array_equal(eq.eq_13(d.W, d.df), eq.eq_13(d.W.T, d.df))


def test_literal_14_transposes_the_weight_and_is_something_else():
    d = Operands(SQUARE)
    literal = table(
        d.samples, d.units, of=lambda i, f: d.df[i, f] * sum(d.delta[i, t] * d.W[f, t] for t in range(d.units))
    )
    same(eq.eq_14(d.df, d.delta, d.W.T), literal)
    assert not np.array_equal(eq.eq_14(d.df, d.delta, d.W), literal)


def test_literal_14_does_not_fit_where_the_widths_differ():
    d = Operands((2, 5, 3, 3))
    with pytest.raises(ValueError, match="matmul"):
        eq.eq_14(d.df_prev, d.delta, d.W.T)
