"""Worker processes that may hang, die, or take all memory: what one does costs the item that it was at, nothing else.

A job is a piece of work that yields one record an item. Its worker sends each as it is made. One that stays away too
long, holds too much memory, prints too much or dies is killed with all it started, and the item gets a record that says
so; the rest of its job goes to a fresh worker. Each worker has one thread, so that numbers do not depend on how many
workers there are, and what it prints goes to a file, whose end is quoted where it dies.
"""

import ctypes
import math
import multiprocessing
import os
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any, NamedTuple, NoReturn

from adapters.contract import describe

Record = dict[str, Any]

SETTINGS = {
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "XLA_PYTHON_CLIENT_PREALLOCATE": "false",  # by default one JAX process takes three quarters of a GPU's memory
}
"""The environment of every worker, beside what it inherits."""

POLL = 0.1
"""Seconds between two looks at what the workers hold."""

MOST_PRINTED = 2**24
"""Bytes that an item may print."""

QUOTED = 200
"""Characters of what was printed last that are quoted."""


class CampaignError(RuntimeError):
    """A campaign that cannot go on; its message is one line."""


class Limits(NamedTuple):
    """Of one item: seconds, and MiB that its worker may hold in memory (seen where the system has /proc)."""

    seconds: float
    memory: int


UNLIMITED = Limits(math.inf, 2**40)


class Failure(NamedTuple):
    """Why an item has no record: the verdict, and a line."""

    verdict: str
    reason: str


@dataclass(frozen=True)
class Job:
    """Work for one worker: work(argument, i) yields the records of item i and of all after it, `count` in all.

    `failed` makes the record of an item that has none.
    """

    work: Callable[[Any, int], Iterator[Any]]
    argument: Any
    count: int
    failed: Callable[[Any, int, Failure], Any]
    limits: Limits


# --- in the worker


def serve(pipe: Connection, printed: str) -> None:
    """Do the jobs that come, each from an item on, until the pipe closes; a child that an adapter forks ends here."""
    die_with_parent()
    os.setsid()
    file = os.open(printed, os.O_WRONLY | os.O_APPEND)
    for descriptor in (1, 2):
        os.dup2(file, descriptor)
    own = os.getpid()

    def send(*message: Any) -> None:
        flush()
        if os.getpid() != own:
            os._exit(0)
        pipe.send(message)

    with suppress(EOFError, BrokenPipeError):
        while True:
            work, argument, start = pipe.recv()  # which imports what it needs
            pipe.send(("ready", None))
            try:
                for record in work(argument, start):
                    send("record", record)
                    os.truncate(printed, 0)
                send("done", None)
            except (EOFError, BrokenPipeError):
                raise
            except BaseException as error:  # an interrupt that an adapter raises is its answer too
                send("failed", describe(error))


def flush() -> None:
    """Write what is buffered, where an adapter has left something to write to."""
    for stream in (sys.stdout, sys.stderr):
        with suppress(Exception):
            stream.flush()


def die_with_parent() -> None:
    """On Linux, have this process killed when its parent dies: a hanging adapter would stay for ever."""
    if sys.platform == "linux":
        PR_SET_PDEATHSIG = 1
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


# --- in the parent


class Worker:
    """A process, the job that it has, and the item that it is at."""

    def __init__(self, folder: Path) -> None:
        context = multiprocessing.get_context("spawn")
        self.pipe, other = context.Pipe()
        descriptor, printed = tempfile.mkstemp(dir=folder)
        os.close(descriptor)
        self.printed = Path(printed)
        self.process = context.Process(target=serve, args=(other, printed), daemon=True)
        before = {name: os.environ.get(name) for name in SETTINGS}
        os.environ.update(SETTINGS)
        try:
            self.process.start()
        finally:
            for name, value in before.items():
                os.environ.pop(name) if value is None else os.environ.update({name: value})
        other.close()
        self.job: tuple[int, Job] | None = None
        self.item, self.since = 0, math.inf

    def begin(self, number: int, job: Job, item: int) -> None:
        """Give it a job, from an item on; its seconds count from when it is ready."""
        self.job, self.item, self.since = (number, job), item, math.inf
        with suppress(OSError):  # one that has died is found so
            self.pipe.send((job.work, job.argument, item))

    def too_much(self) -> Failure | None:
        """What it takes that it may not."""
        assert self.job is not None
        limits = self.job[1].limits
        if time.monotonic() - self.since > limits.seconds:
            return Failure("timed-out", f"it takes more than {limits.seconds:g} s")
        if resident(self.process.pid) > limits.memory:
            return Failure("crashed", f"it holds more than {limits.memory} MiB of memory")
        if self.printed.stat().st_size > MOST_PRINTED:
            return Failure("crashed", f"it prints more than {MOST_PRINTED // 2**20} MiB")
        return None

    def end(self, patience: float = 1.0) -> Failure:
        """Kill it and what it started; how it ended, if it did so by itself, for which it has some seconds."""
        self.pipe.close()
        code = self.exit_code(patience)
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self.process.pid or 0, signal.SIGKILL)
        self.process.kill()
        self.process.join()
        if code is None:
            how = "it closed its connection"
        elif code < 0:
            how = f"its process was ended by signal {-code} ({signal.strsignal(-code)})"
        else:
            how = f"its process ended with exit status {code}"
        said = self.last_words()
        self.printed.unlink(missing_ok=True)
        return Failure("crashed", f"{how}{f', having printed {said!r}' if said else ''}")

    def exit_code(self, patience: float) -> int | None:
        """How it has ended, once it has, within some seconds; `join` would wait for ever where it closed its files."""
        until = time.monotonic() + patience
        while (code := self.process.exitcode) is None and time.monotonic() < until:
            time.sleep(POLL / 10)
        return code

    def last_words(self) -> str:
        """The end of what it printed, on one line."""
        if not self.printed.exists():
            return ""
        with self.printed.open("rb") as file:
            file.seek(max(0, self.printed.stat().st_size - 4 * QUOTED))
            return " ".join(file.read().decode(errors="replace").split())[-QUOTED:]


def resident(process: int | None) -> float:
    """MiB that a process has in memory; 0 where the system does not say."""
    try:
        pages = int(Path(f"/proc/{process}/statm").read_text().split()[1])
    except (OSError, IndexError):
        return 0.0
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


def run(jobs: Sequence[Job], workers: int, done: Callable[[int, int, Any], None] = lambda *_: None) -> list[list[Any]]:
    """The records of every job, in its own order; `done` is told of each as it comes: job, item, record."""
    found: list[list[Any]] = [[None] * job.count for job in jobs]
    waiting = [(number, 0) for number in reversed(range(len(jobs))) if jobs[number].count]
    at_work: list[Worker] = []

    def take(worker: Worker, record: Any) -> None:
        assert worker.job is not None
        number = worker.job[0]
        found[number][worker.item] = record
        done(number, worker.item, record)
        worker.item, worker.since = worker.item + 1, time.monotonic()

    def fail(worker: Worker, failure: Failure) -> None:
        assert worker.job is not None
        number, job = worker.job
        take(worker, job.failed(job.argument, worker.item, failure))
        if worker.item < job.count:
            waiting.append((number, worker.item))
        worker.job = None

    def next_job(worker: Worker) -> None:
        number, item = waiting.pop()
        worker.begin(number, jobs[number], item)

    with tempfile.TemporaryDirectory(prefix="workers-") as folder:
        try:
            while waiting or any(worker.job for worker in at_work):
                idle = [worker for worker in at_work if worker.job is None]
                while waiting and (idle or len(at_work) < workers):
                    if not idle:
                        at_work.append(Worker(Path(folder)))
                    next_job(idle.pop() if idle else at_work[-1])
                for worker in look(at_work, take, fail):
                    at_work.remove(worker)
        finally:
            for worker in at_work:
                worker.end()
    return found


def look(
    at_work: Sequence[Worker],
    take: Callable[[Worker, Any], None],
    fail: Callable[[Worker, Failure], None],
) -> list[Worker]:
    """Take in what has come, and end what takes too much; the workers that are no more."""
    busy = {worker.pipe: worker for worker in at_work if worker.job is not None}
    ready = wait(list(busy), POLL)
    gone = []
    for pipe, worker in busy.items():
        if pipe in ready:
            try:
                kind, content = worker.pipe.recv()
            except Exception:  # it is gone, or an adapter has written to its pipe
                fail(worker, worker.end())
                gone.append(worker)
                continue
            receive(worker, kind, content, take, fail)
        elif failure := worker.too_much():
            worker.end(patience=0)
            fail(worker, failure)
            gone.append(worker)
    return gone


def receive(
    worker: Worker,
    kind: str,
    content: Any,
    take: Callable[[Worker, Any], None],
    fail: Callable[[Worker, Failure], None],
) -> None:
    """A message of a worker: a record, that it is done, or that something was raised which is nobody's answer."""
    assert worker.job is not None
    job = worker.job[1]
    if kind == "ready":  # what it took to start is not the item's
        worker.since = time.monotonic()
    elif kind == "record" and worker.item < job.count:
        take(worker, content)
    elif kind == "done" and worker.item == job.count:
        worker.job = None
    else:
        fail(worker, Failure("crashed", content if kind == "failed" else f"{worker.item} of {job.count} items came"))


# --- work without which nothing can go on


def each(
    work: Callable[[Any], Any], arguments: Sequence[Any], workers: int, done: Callable[[Any], None] = lambda _: None
) -> list[Any]:
    """work(argument) of every argument, in worker processes; `done` is told of each result as it comes.

    Raises CampaignError where one raises, or where its worker dies.
    """
    jobs = [Job(alone, (work, argument), 1, lost, UNLIMITED) for argument in arguments]
    return [result for (result,) in run(jobs, workers, lambda number, item, result: done(result))]


def alone(task: tuple[Callable[[Any], Any], Any], start: int) -> Iterator[Any]:
    """One result, as a job of one item."""
    work, argument = task
    yield work(argument)


def lost(task: tuple[Callable[[Any], Any], Any], index: int, failure: Failure) -> NoReturn:
    """A result that is missing ends the run."""
    work, _ = task
    raise CampaignError(f"{work.__module__}.{work.__qualname__} gave no result: {failure.reason}")
