"""Hypothesis strategies of whole Cases. They shrink to one sample of one unit in one layer, of the first functions.

The structure is drawn by Hypothesis; the arrays by a generator from a drawn seed, in one of the kinds of a false-alarm
campaign, so that a Case fails or holds with its seed.
"""

from collections.abc import Sequence
from functools import cache

import numpy as np
from hypothesis import assume
from hypothesis import strategies as st

from reference.activations import HIDDEN, OUTPUT
from reference.case import Case
from reference.cases import COMBINATIONS, Combination, Shape
from reference.losses import LOSSES
from reference.rounding import DTYPES
from reports.faults.adversarial_cases import KINDS, answerable

EVERY_KIND = ("ordinary", "zeros", "kinks", "tiny weights", "subnormal", "saturated", "huge weights")
"""Weights from ordinary to extreme: 0, exactly at kinks, subnormal, at the functions' asymptotes, up to 2¹⁰ times."""

WITHIN = tuple(kind for kind in EVERY_KIND if not KINDS[kind].beyond)
"""The kinds whose |z| is as a campaign draws it: beyond, engines take the shortcuts that the divergences list."""

MOST_LAYERS, MOST_UNITS, MOST_SAMPLES = 6, 64, 64


@cache
def combinations(hidden: tuple[str, ...], output: tuple[str, ...], loss: tuple[str, ...]) -> tuple[Combination, ...]:
    """The valid combinations of these functions."""
    return tuple(c for c in COMBINATIONS if c.hidden in hidden and c.output in output and c.loss in loss)


@st.composite
def cases(
    draw: st.DrawFn,
    hidden: Sequence[str] = HIDDEN,
    output: Sequence[str] = OUTPUT,
    loss: Sequence[str] = tuple(LOSSES),
    dtypes: Sequence[str] = DTYPES,
    kinds: Sequence[str] = EVERY_KIND,
    layers: tuple[int, int] = (1, MOST_LAYERS),
    units: int = MOST_UNITS,
    samples: tuple[int, int] = (1, MOST_SAMPLES),
    widths: Sequence[int] = (),
    sizes: Sequence[int] = (),
) -> Case:
    """Networks of so many layers and units, and batches of so many samples, whose answers are numbers of the format.

    Where widths or sizes of a batch are given, there are no others.
    """
    names = draw(st.sampled_from(combinations(tuple(hidden), tuple(output), tuple(loss))))
    dtype, kind = (draw(st.sampled_from(tuple(each))) for each in (dtypes, kinds))
    width = st.sampled_from(widths) if widths else st.integers(1, units)
    of_layers = draw(st.lists(width, min_size=layers[0] + 1, max_size=layers[1] + 1))
    shape = Shape(tuple(of_layers), draw(st.sampled_from(sizes) if sizes else st.integers(*samples)))
    seed = draw(st.integers(0, 2**32 - 1))
    with np.errstate(all="ignore"):
        case = KINDS[kind].draw(np.random.default_rng(seed), names, shape, dtype)
        assume(answerable(case))
    return case
