"""The rows of activations and losses: what an engine that departs is caught at."""

from dataclasses import replace

import numpy as np
import pytest

from adapters.numpy.engine import NumpyEngine
from reports.divergences import functions


class Planted(NumpyEngine):
    """NumPy whose f or f' is another at some inputs."""

    name = "planted"

    def __init__(self, what, where, wrong, name="planted"):
        super().__init__()
        self.what, self.where, self.wrong, self.name = what, where, wrong, name

    def layer_vjp(self, case, layer, z_prev, cotangent):
        dW, db, dz = super().layer_vjp(case, layer, z_prev, cotangent)
        seen = dW if self.what == "value" else dz
        seen[:] = np.where(self.where(z_prev), self.wrong(z_prev, seen), seen)
        return dW, db, dz


def statuses(adapter, function, what, dtype="float64"):
    """input -> status of the planted engine; inputs that share a row with others are in its note."""
    with np.errstate(all="ignore"):
        found = list(functions.activation_rows([adapter], function, dtype))
    return {row["input"]: row["status"][adapter.name] for row in found if row["what"] == what}


@pytest.mark.parametrize(
    ("wrong", "status"), [(1.5, "defect"), (-0.01, "defect"), (np.nan, "defect"), (0.25, "convention")]
)
def test_a_derivative_at_a_kink(wrong, status):
    planted = Planted("derivative", lambda z: z == 0, lambda z, seen: wrong)
    assert statuses(planted, "relu", "derivative")["z = 0.0"] == status


@pytest.mark.parametrize("name", ["planted", "torch-eager"])
@pytest.mark.parametrize("what", ["value", "derivative"])
def test_off_by_a_thousandth_beyond_20_is_a_defect_even_where_something_is_known(name, what):
    planted = Planted(what, lambda z: z > 20, lambda z, seen: seen * 1.001, name)
    assert "defect" in statuses(planted, "softplus", what).values()


def test_what_torch_documents_is_an_approximation_of_torch_alone():
    for name, status in (("torch-eager", "approximation"), ("planted", "defect")):
        planted = Planted("value", lambda z: z > 70, lambda z, seen: z, name)  # 0.3 · 70 > 20
        assert set(statuses(planted, "softplus", "value").values()) == {status}


def test_nan_for_a_finite_truth_is_a_defect():
    planted = Planted("value", lambda z: z == 100, lambda z, seen: np.nan)
    assert statuses(planted, "sigmoid", "value") == {"z = 100.0": "defect"}


def test_a_wrong_number_at_infinity_is_a_defect_and_nan_a_convention():
    for wrong, status in ((0.7, "defect"), (np.nan, "convention")):
        planted = Planted("value", lambda z: z == np.inf, lambda z, seen, wrong=wrong: wrong)
        assert statuses(planted, "sigmoid", "value") == {"z = inf": status}


def test_an_honest_engine_has_only_its_kinks():
    honest = Planted("value", np.isnan, lambda z, seen: seen)
    assert statuses(honest, "sigmoid", "value") == {}
    assert set(statuses(honest, "hardtanh", "derivative")) == {"z = 1.0", "z = -1.0"}


def test_an_adapter_that_raises_has_a_defect():
    class Raises(NumpyEngine):
        def layer_vjp(self, case, layer, z_prev, cotangent):
            raise RuntimeError("no\nway")

    with np.errstate(all="ignore"):
        found = next(functions.activation_rows([Raises()], "tanh", "float32"))
    assert found["status"] == {"numpy": "defect"}
    assert found["engines"] == {"numpy": "raises RuntimeError: no way"}


def test_an_adapter_without_a_vjp_gives_its_values_alone():
    class Plain:
        name = "plain"

        def supports(self, case):
            return True

        def trace(self, case):
            trace = NumpyEngine().trace(case)
            return replace(trace, a={1: np.where(case.x == 3, 7.0, trace.a[1])})

    assert statuses(Plain(), "tanh", "value") == {"z = 3.0": "defect"}
    assert statuses(Plain(), "tanh", "derivative") == {}


class PlantedLoss(NumpyEngine):
    """NumPy whose L_i or δ is another at one logit."""

    name = "planted"

    def __init__(self, field, at, wrong):
        super().__init__()
        self.field, self.at, self.wrong = field, at, wrong

    def trace(self, case):
        trace = super().trace(case)
        if self.field == "losses":
            return replace(trace, losses=np.where(case.x[:, 0] == self.at, self.wrong, trace.losses))
        return replace(trace, delta={1: np.where(case.x == self.at, self.wrong, trace.delta[1])})


@pytest.mark.parametrize(
    ("field", "loss", "at", "wrong", "status"),
    [
        ("delta", "hinge", 1.0, -1.5, "defect"),
        ("delta", "hinge", 1.0, -0.75, "convention"),
        ("delta", "huber", 3.0, 1.01, "defect"),
        ("losses", "huber", 3.0, np.nan, "defect"),
        ("losses", "binary_cross_entropy", 50.0, 100.0, "convention"),
        ("losses", "binary_cross_entropy", 3.0, 100.0, "defect"),
    ],
)
def test_a_loss(field, loss, at, wrong, status):
    with np.errstate(all="ignore"):
        found = list(functions.loss_rows([PlantedLoss(field, at, wrong)], loss, "float64"))
    what = "value" if field == "losses" else "derivative"
    of = {
        row["status"]["planted"]
        for row in found
        if row["what"] == what and (f"z = {at!r}, y" in row["input"] + row["note"])
    }
    assert status in of
