"""Scripts that show a failing Case in NumPy, torch and JAX."""

from dataclasses import replace

import numpy as np
import pytest

from adapters.numpy.engine import NumpyEngine
from reference.cases import COMBINATIONS, cover
from reports.campaign import failing_cases
from reports.campaign.scripts import QUANTITIES, scripts
from reports.divergences import reproducers
from tests.exhaustive import quick
from tests.reports.campaign.failing import drawn, finding, numbers, run


@pytest.mark.parametrize("equations", QUANTITIES.values(), ids=QUANTITIES)
def test_a_script_computes_the_number_that_is_off(equations, tmp_path):
    """In float64 every framework comes as near to the reference as its rounding lets it."""
    case = drawn(dtype="float64")
    trace = NumpyEngine().trace(case)
    name = next(name for name, of in QUANTITIES.items() if of == equations)
    index = {"loss": (), "losses": (1,), "db": (1,)}.get(name, (1, 0))
    array = {"loss": trace.loss, "losses": trace.losses}.get(name)
    truth = float(np.asarray(getattr(trace, name)[1] if array is None else array)[index])
    paths = failing_cases.save(tmp_path, "it", case, "mine", finding(equations[0], 1, index))
    assert [path.name for path in paths] == ["it.json", "it_numpy.py", "it_torch.py", "it_jax.py"]
    for path in paths[1:]:
        printed = run(path)
        assert numbers(printed)[0] == pytest.approx(truth, rel=1e-12)
        assert "mine gave: 0.25" in printed
        assert "0.5 ± 1e-08" in printed


def combinations_of(framework):
    """Combinations that have every function of a framework at least once."""
    asked = set(reproducers.ACTIVATIONS[framework]) | set(reproducers.LOSSES[framework])
    left, chosen = set(asked), []
    for seed, combination in enumerate(COMBINATIONS):
        if set(combination) <= asked and set(combination) & left:
            chosen.append((framework, seed, combination))
            left -= set(combination)
    return chosen


@pytest.mark.parametrize("framework", ["torch", "jax"])
def test_every_function_of_a_framework_has_its_combination(framework):
    there = {name for _, _, combination in combinations_of(framework) for name in combination}
    assert there == set(reproducers.ACTIVATIONS[framework]) | set(reproducers.LOSSES[framework])


@pytest.mark.parametrize(
    ("framework", "seed", "combination"),
    [*combinations_of("torch"), *quick(combinations_of("jax"), 4)],
    ids=lambda value: "-".join(value) if isinstance(value, tuple) else str(value),
)
def test_every_function_has_a_script_that_agrees_with_the_equations(framework, seed, combination, tmp_path):
    case = drawn(combination, "float64", seed)
    trace = NumpyEngine().trace(case)
    failing_cases.save(tmp_path, "it", case, "mine", finding("9", 2, (1, 1)))
    printed = run(tmp_path / f"it_{framework}.py").split("\n")
    found = float(printed[0 if framework == "torch" else 1].removeprefix("torch: "))
    # torch's hardsigmoid multiplies by a 1/6 that it holds in float32
    assert found == pytest.approx(trace.delta[2][1, 1], rel=3e-8, abs=1e-12)


def test_a_function_that_a_framework_lacks_has_no_script_of_it():
    assert set(scripts(drawn(("hardshrink", "identity", "huber")), "x", "mine", finding())) == {
        "numpy",
        "torch",
    }
    assert set(scripts(drawn(("tanh", "tanh", "log_cosh")), "x", "mine", finding())) == {"numpy", "jax"}


def test_no_script_is_longer_than_40_lines_or_wider_than_a_screen():
    for combination in cover():
        for code in scripts(drawn(combination), "a-file.json", "mine", finding()).values():
            assert len(code.splitlines()) <= 40
            assert max(map(len, code.splitlines())) <= 240


def test_a_parameter_that_a_framework_does_not_take_has_no_script_of_it():
    case = drawn(("softplus", "identity", "huber"))
    assert "jax" in scripts(case, "it.json", "mine", finding())
    other = replace(case, parameters={"hidden": {"beta": 2.0}})
    assert set(scripts(other, "it.json", "mine", finding())) == {"numpy", "torch"}
