"""A pool of worker processes."""

import os
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from multiprocessing import get_context
from typing import Any

from reports.results.environment import cores
from reports.running.workers import SETTINGS, CampaignError


@contextmanager
def pool(workers: int) -> Iterator[ProcessPoolExecutor]:
    """Worker processes that share the cores: each has its own threads, and starts afresh, as JAX and torch need."""
    threads = str(max(1, cores() // workers))
    before = {name: os.environ.get(name) for name in SETTINGS}
    os.environ.update({name: threads if value == "1" else value for name, value in SETTINGS.items()})
    try:
        with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as executor:
            yield executor
    except BrokenProcessPool as error:
        raise CampaignError(
            "a worker process died, of memory or of an adapter that ends it: ask for one engine at a time to see which"
        ) from error
    finally:
        for name, value in before.items():
            os.environ.pop(name) if value is None else os.environ.update({name: value})


def in_turn(futures: Sequence[Future[Any]], done: Any) -> list[Any]:
    """The results in the order of the futures; `done` is told of each as it comes."""
    for future in as_completed(futures):
        done(future.result())
    return [future.result() for future in futures]
