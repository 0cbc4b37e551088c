"""Reproducers: the tables of snippets say what the adapters call, and what they make runs and prints it."""

import warnings

import numpy as np
import pytest

from adapters.jax import functions as jax_functions
from adapters.torch import functions as torch_functions
from reference.activations import ACTIVATIONS
from reference.losses import LOSSES
from reports.divergences import functions, reproducers
from tests.exhaustive import quick

ADAPTERS = {"torch": torch_functions, "jax": jax_functions}
ENGINE = {"torch": "torch-eager", "jax": "jax-jit"}


@pytest.mark.parametrize("framework", ADAPTERS)
def test_every_function_of_an_adapter_has_a_snippet(framework):
    assert set(reproducers.ACTIVATIONS[framework]) == set(ADAPTERS[framework].ACTIVATIONS)
    assert set(reproducers.LOSSES[framework]) == set(ADAPTERS[framework].LOSSES)


FUNCTIONS = [(f, name) for f in ADAPTERS for name in reproducers.ACTIVATIONS[f] if not ACTIVATIONS[name].coupled]


@pytest.mark.parametrize(("framework", "name"), quick(FUNCTIONS, 20))
def test_a_snippet_is_the_adapters_function(framework, name, engine_named):
    z = np.array([-1.25, 0.75])
    adapter = engine_named(ENGINE[framework])
    answers = functions.activation_answer(adapter, ACTIVATIONS[name], "float64", z)
    for what, answer in answers.items():
        for i, x in enumerate(z.tolist()):
            code = reproducers.of_activation(adapter.name, name, what, "float64", x, ACTIVATIONS[name].parameters)
            assert float(reproducers.run(code)) == pytest.approx(answer.observed[i].item(), rel=1e-14)


def test_jax_has_no_other_beta_and_its_snippet_no_beta():
    assert "beta" not in reproducers.JAX_ACTIVATIONS["softplus"]


@pytest.mark.parametrize(("framework", "name"), quick(((f, n) for f in ADAPTERS for n in reproducers.LOSSES[f]), 18))
def test_a_snippet_is_the_adapters_loss(framework, name, engine_named):
    loss = LOSSES[name]
    output = loss.outputs[0] if loss.outputs else "identity"
    n = 3 if ACTIVATIONS[output].coupled else 1
    z = np.array([[-0.75, 0.5, 1.25]])[:, :n]
    y = np.eye(3)[:1, :n]
    case = functions.single_layer(output, name, "float64", z, y, loss.parameters)
    trace = engine_named(ENGINE[framework]).trace(case)
    for what, seen in (("output", trace.a[1][0]), ("value", trace.losses), ("derivative", trace.delta[1][0])):
        code = functions.loss_code(case, what, ENGINE[framework], 0)
        if what == "output" and loss.on_logits:
            continue  # the loss is given z: f_o does not occur
        assert reproducers.numbers_in(reproducers.run(code)) == pytest.approx(seen.tolist(), rel=1e-13)


@pytest.mark.parametrize("engine", ["numpy", "mine"])
def test_what_is_no_framework_has_no_reproducer(engine):
    zero = np.zeros(1)
    assert reproducers.of_activation(engine, "relu", "value", "float32", 0.0, {}) is None
    assert reproducers.of_loss(engine, ("identity", "huber"), "value", "float32", zero, zero, {}, False) is None
    assert reproducers.of_arithmetic(engine, "log1p", "float64", {"x": 0.5}) is None
    assert reproducers.of_default(engine, {"torch": "z"}, {}) is None


def test_a_function_that_a_framework_lacks_has_no_reproducer():
    assert reproducers.of_activation("jax-jit", "tanhshrink", "value", "float32", 0.0, {}) is None
    assert reproducers.of_default("jax-jit", {"torch": "z"}, {"z": np.zeros(1)}) is None


@pytest.mark.parametrize("value", [0.1, -0.0, 5e-324, np.inf, -np.inf, np.nan])
def test_a_literal_is_read_back_to_the_last_bit(value):
    read = eval(reproducers.literal(np.array([[value]])))
    assert np.array(read).tobytes() == np.array([[value]]).tobytes() or np.isnan(value)
    assert np.isnan(read[0][0]) == np.isnan(value)


def test_run_gives_what_was_printed_and_keeps_warnings_to_itself():
    code = "import warnings\nwarnings.warn('mind')\nprint(1.5)"
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert reproducers.run(code) == "1.5"


def test_on_a_gpu_torch_is_told_so_and_jax_takes_it_by_itself():
    of_torch, of_jax = (
        reproducers.of_activation(engine, "tanh", "value", "float32", 0.5, {}) for engine in ("torch-eager", "jax-jit")
    )
    assert reproducers.on_device(of_torch, "cpu") == of_torch
    assert reproducers.on_device(of_jax, "cuda:0") == of_jax
    on_meta = reproducers.on_device(of_torch, "meta").splitlines()[
        :-1
    ]  # a device that is everywhere: it has no numbers
    assert reproducers.run("\n".join([*on_meta, "print(z.device)"])) == "meta"


def test_numbers_are_shown_so_that_they_are_read_back():
    for values in ([0.1], [0.1, np.inf, -5e-324]):
        assert reproducers.numbers_in(reproducers.shown(values)) == values
