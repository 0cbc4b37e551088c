"""What a measurement ran on."""

import json
from datetime import datetime

import numpy as np
import pytest

from reports.results.environment import PACKAGES, environment, version


def test_environment():
    about = environment({"numpy": "cpu"}, 7, "2026-01-02T03:04:05+00:00", 1.5)
    assert (about["seed"], about["seconds"]) == (7, 1.5)
    assert datetime.fromisoformat(about["started"]).tzinfo is not None
    assert about["devices"] == {"numpy": "cpu"}
    assert set(about["versions"]) == set(PACKAGES)
    assert about["versions"]["numpy"] == np.__version__
    for field in ("python", "platform", "processor"):
        assert about[field], f"{field} is {about[field]!r}, but should say something"
    assert about["cores"] >= 1
    assert about["blas"], "no BLAS is named, but NumPy has one"
    for pool in about["blas"]:
        assert pool["name"]
        assert pool["threads"] >= 1
        assert "/" not in pool["library"]
    json.dumps(about, allow_nan=False)


def test_flags_of_other_processes_stand_beside_our_own(monkeypatch):
    monkeypatch.setenv("OPENBLAS_CORETYPE", "Haswell")
    found = environment({}, 0, "", 0.0, {"jax_enable_x64": "True", "OPENBLAS_CORETYPE": "Zen"})["flags"]
    assert found.items() >= {"jax_enable_x64": "True", "OPENBLAS_CORETYPE": "Zen"}.items()


@pytest.mark.parametrize("engine", ["torch-eager", "jax-jit"], indirect=True)
def test_flags_of_loaded_frameworks(engine):
    flags = environment({}, 0, "", 0.0)["flags"]
    expected = {
        "torch-eager": {"torch float32 matmul precision": "highest", "torch cuda.matmul.allow_tf32": "False"},
        "jax-jit": {"jax_enable_x64": "True", "jax_default_matmul_precision": "highest"},
    }[engine.name]
    assert expected.items() <= flags.items()


def test_variables_that_choose_kernels_are_flags(monkeypatch):
    monkeypatch.setenv("OPENBLAS_CORETYPE", "Haswell")
    assert environment({}, 0, "", 0.0)["flags"]["OPENBLAS_CORETYPE"] == "Haswell"


def test_a_package_that_is_not_there():
    assert version("no-such-package-at-all") == "not installed"
