"""Generators that depend on a seed and on names."""

from reference.cases import Combination
from reports.running.seeds import generator

SEED = 2026

COMBINATION = Combination("tanh", "sigmoid", "binary_cross_entropy")


def test_generator_depends_on_names_and_their_order():
    names = (*COMBINATION, "float32")
    others = ((SEED, *names), (SEED, *names, 0), (SEED, *names, 1), (SEED, *reversed(names)), (SEED + 1, *names))
    draws = {float(generator(*other).random()) for other in others}
    assert len(draws) == len(others), f"{len(draws)} different draws, but should be {len(others)}"
    assert generator(1, "a", 3).random() == generator(1, "a", 3).random()
