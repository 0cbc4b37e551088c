"""Every law on every engine, in every format, and on engines that break it."""

import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np
import pytest
from hypothesis import HealthCheck, Phase, assume, given, settings
from hypothesis import strategies as st
from hypothesis.errors import Unsatisfiable

from adapters.contract import ENGINES, lacks
from adapters.numpy.engine import NumpyEngine
from reports.faults.adversarial_cases import answerable
from tests.laws import laws
from tests.strategies import WITHIN, cases

LONGER = int(os.environ.get("FUZZ", "1"))

EXAMPLES = {"numpy": 40, "torch-eager": 25, "jax-jit": 4, "jax-whole": 2}
"""JAX compiles for every shape; `nox -s fuzz` draws FUZZ times as many."""

COMPILED = ("jax-jit", "jax-whole")

FEW = {
    "hidden": ("tanh", "relu", "leaky_relu"),
    "output": ("identity", "sigmoid", "softmax"),
    "loss": ("half_squared_error", "binary_cross_entropy", "categorical_cross_entropy_on_logits"),
    "widths": (4,),
    "sizes": (4,),
}
"""What those are given in the quick tests, so that what is compiled for one Case serves others."""

RELU = {"hidden": ("relu", "leaky_relu"), "layers": (2, 6)}
LINEAR = {"hidden": ("identity",), "output": ("identity",), "loss": ("half_squared_error",)}

KINDS = tuple(kind for kind in WITHIN if kind != "subnormal")
"""Of subnormal numbers a law would compare one flush with another."""


class Law(NamedTuple):
    """What a law makes of a Case: claims; of which Cases it speaks; and of which where they are few."""

    claims: Callable[..., Iterator[laws.Claim]]
    of: dict[str, Any]
    few: Mapping[str, Any] = MappingProxyType({})


def batch_order(draw, case, at):
    rows = np.array(draw(st.permutations(range(case.samples))))
    yield from laws.of_permuted(at(case), at(laws.permuted(case, rows)), rows)


def cuts(samples):
    """Where a batch may be cut; one of a dozen, into the sizes that other laws have of the FEW."""
    return (4, 8) if samples == 12 else range(1, samples)


def batch_cut(draw, case, at):
    n = draw(st.sampled_from(cuts(case.samples)))
    rows = np.arange(case.samples)
    yield from laws.of_cut(at(case), *(at(laws.with_batch(case, part)) for part in (rows[:n], rows[n:])))


def batch_doubled(draw, case, at):
    yield from laws.same_gradients(at(case), at(laws.with_batch(case, np.tile(np.arange(case.samples), 2))))


def unit_order(draw, case, at):
    l = draw(st.integers(1, case.last - 1))
    order = np.array(draw(st.permutations(range(len(case.b[l])))))
    yield from laws.of_units_permuted(at(case), at(laws.with_units_permuted(case, l, order)), l, order)


def unit_padding(draw, case, at):
    l = draw(st.integers(1, case.last - 1))
    more = 4 if set(case.widths) == set(FEW["widths"]) else draw(st.integers(1, 4))
    yield from laws.of_padded(at(case), at(laws.padded(case, l, more)), l)


def class_sum(draw, case, at):
    yield from laws.of_classes(at(case))


def logit_shift(draw, case, at):
    by = float(draw(st.integers(-4, 4).filter(bool)))
    yield from laws.same_gradients(at(laws.shifted(case, 0.0)), at(laws.shifted(case, by)))


def relu_scale(draw, case, at):
    l, exponent = draw(st.integers(1, case.last - 1)), draw(st.sampled_from([1, -1, 3, -3]))
    other = laws.rescaled(case, l, exponent)
    assume(other is not None)
    yield from laws.of_rescaled(at(case), at(other), l, exponent)


def relu_balance(draw, case, at):
    yield from laws.of_balance(at(laws.without_biases(case)))


def normal_equation(draw, case, at):
    yield from laws.of_normal_equation(at(laws.without_biases(case)))


HIDDEN_LAYER = {"layers": (2, 6)}

LAWS = {
    "batch order": Law(batch_order, {"samples": (2, 64)}),
    "batch cut in two": Law(batch_cut, {"samples": (2, 64)}, {"sizes": (12,)}),
    "every sample twice": Law(batch_doubled, {"samples": (1, 32)}),
    "order of units": Law(unit_order, HIDDEN_LAYER),
    "units of zero": Law(unit_padding, HIDDEN_LAYER),
    "sum over classes": Law(class_sum, {"output": ("softmax",)}),
    "shift of the logits": Law(logit_shift, {"output": ("softmax",)}),
    "scale of ReLU": Law(relu_scale, RELU),
    "balance of ReLU": Law(relu_balance, {**RELU, "output": ("identity",)}),
    "normal equation": Law(
        normal_equation, {"hidden": ("identity",), "output": ("identity",), "loss": ("half_squared_error",)}
    ),
}


def hold(engine, name, law, examples, phases=tuple(Phase), few=False, **about):
    """Draw Cases and hold an engine to a law; raises AssertionError with the smallest that violates it.

    A Case in which the law claims nothing does not count; raises Unsatisfiable where it claims nothing in any.
    """
    about = {**(FEW | dict(law.few) if few else {}), "kinds": KINDS, **law.of, **about}
    if name in COMPILED:
        most = about.get("layers", (1, 6))
        about |= {"layers": (most[0], min(most[1], 3)), "units": 8, "samples": (about.get("samples", (1,))[0], 8)}

    @settings(max_examples=examples, phases=phases, suppress_health_check=list(HealthCheck))
    @given(data=st.data())
    def check(data):
        case = data.draw(cases(**about))
        assume(lacks(engine, case) is None)

        def at(other):
            with np.errstate(all="ignore"):
                assume(answerable(other))
            return laws.side(engine, other, name)

        violations, claimed = laws.judged(law.claims(data.draw, case, at))
        assert not violations, f"{name} violates it: " + "; ".join(violations[:3])
        assume(claimed)

    check()


@pytest.mark.parametrize("name", ENGINES)
@pytest.mark.parametrize("law", LAWS)
def test_an_engine_obeys(law, name, engine_named, exhaustive):
    few = name in COMPILED and not exhaustive and LONGER == 1
    hold(engine_named(name), name, LAWS[law], EXAMPLES[name] * LONGER, few=few)


# --- engines that break a law


class Wrong(NumpyEngine):
    """Honest, but for what `spoil` makes of its trace."""

    def __init__(self, spoil):
        super().__init__()
        self.spoil = spoil

    def trace(self, case):
        return self.spoil(case, super().trace(case))


def first_sample_counts_more(case, trace):
    dW = {l: g + 0.01 * trace.delta[l][:1].T @ (case.x if l == 1 else trace.a[l - 1])[:1] for l, g in trace.dW.items()}
    return replace(trace, dW=dW)


def sums_over_the_batch(case, trace):
    return replace(trace, dW={l: g * case.samples for l, g in trace.dW.items()})


def divides_by_one_less(case, trace):
    return replace(trace, db={l: g * case.samples / max(case.samples - 0.5, 1) for l, g in trace.db.items()})


def first_unit_learns_less(case, trace):
    return replace(trace, db={l: g * np.where(np.arange(len(g)) == 0, 0.99, 1) for l, g in trace.db.items()})


def divides_by_the_width(case, trace):
    return replace(trace, db={l: g / len(g) for l, g in trace.db.items()})


def forgets_a_class(case, trace):
    delta = trace.delta[case.last].copy()
    delta[:, -1] *= 0.99
    return replace(trace, delta={**trace.delta, case.last: delta})


def sees_the_bias(case, trace):
    return replace(trace, dW={l: g * (1 + 0.01 * abs(case.b[case.last][0])) for l, g in trace.dW.items()})


def decays_weights(case, trace):
    return replace(trace, dW={l: g + 0.01 * case.W[l] for l, g in trace.dW.items()})


def first_layer_learns_less(case, trace):
    return replace(trace, dW={**trace.dW, 1: trace.dW[1] * 0.99})


WRONG = {
    "batch order": first_sample_counts_more,
    "batch cut in two": sums_over_the_batch,
    "every sample twice": divides_by_one_less,
    "order of units": first_unit_learns_less,
    "units of zero": divides_by_the_width,
    "sum over classes": forgets_a_class,
    "shift of the logits": sees_the_bias,
    "scale of ReLU": decays_weights,
    "balance of ReLU": first_layer_learns_less,
    "normal equation": first_layer_learns_less,
}


@pytest.mark.parametrize("law", LAWS)
def test_an_engine_that_breaks_a_law_is_caught(law):
    about = {"kinds": ("ordinary",), "dtypes": ("float32", "float64"), "units": 8}
    with pytest.raises(AssertionError, match="violates it"):
        hold(Wrong(WRONG[law]), "numpy", LAWS[law], 200, phases=[Phase.generate], **about)


def test_a_law_is_not_broken_by_what_it_does_not_speak_of():
    """Twice the gradient obeys the order of the batch and of units: no law alone is an oracle."""
    twice = Wrong(lambda case, trace: replace(trace, dW={l: 2 * g for l, g in trace.dW.items()}))
    about = {"kinds": ("ordinary",), "dtypes": ("float64",), "units": 8}
    with pytest.raises(AssertionError):
        hold(twice, "numpy", LAWS["normal equation"], 50, **about)
    judgement = laws.judged([laws.Claim("x", np.array([1.0, np.nan]), np.array([1.0, 1.0]), np.array([0.1, 0.1]))])
    assert (len(judgement.violations), judgement.claimed) == (1, 2)


def nothing(draw, case, at):
    yield laws.Claim("L", np.array(1.0), np.array(2.0), np.array(np.inf))


def test_a_law_of_nothing_is_none(engine_named):
    with pytest.raises(Unsatisfiable):
        hold(engine_named("numpy"), "numpy", Law(nothing, {}), 5)
