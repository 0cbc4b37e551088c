"""The oldest versions of the frameworks: one clear line below them."""

import re
import tomllib
from importlib import metadata
from pathlib import Path

import pytest

from adapters import contract
from adapters.contract import ENGINES, FLOORS, AdapterError, load

PINNED = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text(encoding="utf-8"))


def test_the_floors_are_those_of_the_package():
    required = dict(text.split(">=") for text in PINNED["project"]["dependencies"])
    for floors in FLOORS.values():
        for package, floor in floors.items():
            assert required[package] == floor


def test_every_engine_has_its_floors():
    assert {where.partition(":")[0].rpartition(".")[0] for where in ENGINES.values()} == set(FLOORS)


@pytest.mark.parametrize(
    ("engine", "package", "version"),
    [("jax-jit", "jax", "0.9.2"), ("jax-whole", "optax", "0.2.4"), ("torch-eager", "torch", "2.10.1+cpu")],
)
def test_an_older_framework_is_one_clear_line(engine, package, version, monkeypatch):
    installed = metadata.version
    monkeypatch.setattr(contract.metadata, "version", lambda name: version if name == package else installed(name))
    with pytest.raises(AdapterError, match=re.escape(f"but {package} {version} is installed")) as error:
        load(engine)
    assert "\n" not in str(error.value)


def test_the_floor_itself_and_what_is_above_pass(monkeypatch):
    for version in ("0.10", "0.10.0", "0.12.0.1"):
        monkeypatch.setattr(contract.metadata, "version", lambda name, version=version: version)
        contract.require_floors("jax-jit", "adapters.jax.jit")


def test_a_framework_that_is_not_there_is_said_by_its_import(monkeypatch):
    def missing(name):
        raise metadata.PackageNotFoundError(name)

    monkeypatch.setattr(contract.metadata, "version", missing)
    contract.require_floors("jax-jit", "adapters.jax.jit")
    contract.require_floors("mine.py:Mine", "mine.py")
