"""What the tests share: the engines, the dtypes, how Hypothesis draws, and which tests are exhaustive."""

import os
import shutil
import tempfile
from functools import cache
from pathlib import Path

import pytest
from hypothesis import settings

from adapters.contract import ENGINES, load
from reference.rounding import DTYPES
from reports.accuracy import true_values
from reports.running.workers import SETTINGS, shared_programs

settings.register_profile("here", deadline=None, print_blob=True)
settings.register_profile("CI", settings.get_profile("here"), derandomize=True)
settings.load_profile("CI" if os.environ.get("CI") else "here")

COMPILED = "JAX_COMPILATION_CACHE_DIR"


def pytest_addoption(parser):
    help = "run the exhaustive tests too: every row of every table, every kill, whole campaigns"
    parser.addoption("--exhaustive", action="store_true", help=help)


def pytest_collection_modifyitems(config, items):
    if not config.getoption("exhaustive"):
        left_out = [item for item in items if item.get_closest_marker("exhaustive")]
        config.hook.pytest_deselected(items=left_out)
        items[:] = [item for item in items if not item.get_closest_marker("exhaustive")]


@pytest.fixture(scope="session")
def exhaustive(request):
    """Whether every row of every table is run."""
    return request.config.getoption("exhaustive")


def pytest_configure(config):
    """As in a campaign's workers: one thread, for several spin while they wait, and what JAX compiles serves all."""
    for name, value in SETTINGS.items():
        os.environ.setdefault(name, value)
    if COMPILED not in os.environ:
        config.compiled = tempfile.mkdtemp(prefix="compiled-")
        os.environ.update(shared_programs(Path(config.compiled)))


def pytest_unconfigure(config):
    if folder := getattr(config, "compiled", None):
        shutil.rmtree(folder, ignore_errors=True)
        os.environ.pop(COMPILED)


@cache
def engine_called(name):
    """An engine by its name, loaded when it is first asked for."""
    if name.startswith("jax"):
        import jax

        # `jax_numpy_rank_promotion` stays as it is: an honest a @ W.T + b adds a vector to every row
        jax.config.update("jax_numpy_dtype_promotion", "strict")
    return load(name)


@pytest.fixture(scope="session", params=ENGINES)
def engine(request):
    """Every engine in turn; a test that wants some of them parametrises this fixture by their names, indirectly."""
    return engine_called(request.param)


@pytest.fixture(scope="session")
def engine_named():
    """The function that gives an engine by its name."""
    return engine_called


@pytest.fixture
def call(capsys):
    """A function that runs `python -m reports` in this process: its exit status, stdout and stderr."""
    from reports.__main__ import main

    def run(*arguments):
        try:
            status = main([str(argument) for argument in arguments])
        except SystemExit as error:
            status = error.code
        out, err = capsys.readouterr()
        return status, out, err

    return run


@pytest.fixture
def ball_precision():
    """The ball arithmetic's precision is global: as the sweep has it, and back."""
    from flint import ctx

    before = ctx.prec
    true_values.exactly()
    yield
    ctx.prec = before


@pytest.fixture(params=DTYPES)
def dtype(request):
    """Every dtype in turn."""
    return request.param
