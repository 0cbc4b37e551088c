"""Failing Cases, and what their scripts print."""

import re

import numpy as np

from reference.cases import Combination, Shape, draw_case
from reports.divergences import reproducers

SHAPE = Shape((3, 2, 2), 2)


def drawn(combination=("tanh", "sigmoid", "binary_cross_entropy"), dtype="float32", seed=0, shape=SHAPE):
    return draw_case(np.random.default_rng([2026, seed]), Combination(*combination), shape, dtype, usual=True)


def finding(equation="14", layer=1, index=(0, 1)):
    worst = {"case": 0, "index": index, "observed": 0.25, "expected": 0.5, "allowed": 1e-8}
    return {"equation": equation, "layer": layer, "ratio": 9.0, "elements": 4, "worst": worst}


def numbers(text):
    """The numbers of a text that have a point."""
    return [float(found) for found in re.findall(r"-?\d+\.\d+(?:e-?\d+)?", text)]


def run(path):
    """What a script prints, in this process."""
    code = path.read_text(encoding="utf-8")
    return reproducers.run(f"__file__ = {str(path)!r}\n{code}")
