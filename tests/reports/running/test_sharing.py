"""What workers share: jobs of one kin go to one worker, and what JAX compiled in one serves the others."""

import os

import pytest

from reports.running.workers import UNLIMITED, Job, choice, run, shared_programs


@pytest.mark.parametrize(
    ("waiting", "own", "taken", "expected"),
    [
        (["b", "a", "b", "a"], "b", ["a", "b"], 2),  # its own, the last of them
        (["c", "a", "b", "a"], "d", ["a", "d"], 2),  # else of a kin that no worker has
        (["c", "a", "b"], None, [], 2),
        (["a", "a"], "b", ["a", "b"], 1),  # else the last
        ([None, None], None, [None], 1),
    ],
)
def test_a_worker_keeps_to_its_kin(waiting, own, taken, expected):
    assert choice(waiting, own, taken) == expected


def compile_one(argument, start):
    """Whether a program came from another worker, as a job of one item whose process ends with it."""
    import jax
    import jax.numpy as jnp

    hits = []
    jax.monitoring.register_event_listener(lambda event, **_: hits.append("cache_hits" in event))
    jax.jit(lambda x: jnp.tanh(x) * argument)(jnp.arange(3.0)).block_until_ready()
    yield any(hits)
    os._exit(0)


def no_record(argument, index, failure):
    raise AssertionError(failure.reason)


def test_a_program_is_compiled_once_for_all_workers(monkeypatch):
    monkeypatch.delenv("JAX_COMPILATION_CACHE_DIR", raising=False)
    jobs = [Job(compile_one, 2.5, 1, no_record, UNLIMITED) for _ in range(3)]
    assert run(jobs, 1) == [[False], [True], [True]]


def test_a_folder_that_is_set_already_is_kept(monkeypatch, tmp_path):
    monkeypatch.setenv("JAX_COMPILATION_CACHE_DIR", "elsewhere")
    assert shared_programs(tmp_path) == {}
    monkeypatch.delenv("JAX_COMPILATION_CACHE_DIR")
    assert shared_programs(tmp_path)["JAX_COMPILATION_CACHE_DIR"] == str(tmp_path / "compiled")
