"""Environment variables that are set for a while, and put back."""

import os

import pytest

from reports.running.variables import environment_variables

VALUES = {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "2"}


@pytest.fixture(autouse=True)
def one_is_set(monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "7")
    monkeypatch.delenv("MKL_NUM_THREADS", raising=False)


def test_variables_are_set_and_put_back():
    before = dict(os.environ)
    with environment_variables(VALUES):
        assert os.environ == before | VALUES
    assert dict(os.environ) == before


def test_they_are_put_back_where_the_block_raises():
    before = dict(os.environ)
    with pytest.raises(KeyError), environment_variables(VALUES):
        raise KeyError
    assert dict(os.environ) == before


def test_a_variable_that_the_block_removes_is_put_back():
    before = dict(os.environ)
    with environment_variables(VALUES):
        for name in VALUES:
            del os.environ[name]
    assert dict(os.environ) == before
