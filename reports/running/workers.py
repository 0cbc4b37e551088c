"""Worker processes that may hang, die, or take all memory: what one does costs the item that it was at, nothing else.

A job is a piece of work that yields one record for each of its items. Its worker sends each record at once. A worker
that takes too long, holds too much memory, prints too much or dies is killed with all it started, and the item gets a
record that says so; the rest of its job goes to a fresh worker. Each worker has one thread, so that numbers do not
depend on how many workers there are, and what it prints goes to a file, whose end is quoted if it dies.
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
from reports.results.verdicts import Verdict
from reports.running.variables import environment_variables

SETTINGS = {
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "XLA_PYTHON_CLIENT_PREALLOCATE": "false",  # by default one JAX process takes three quarters of a GPU's memory
}
"""Environment variables of every worker, beside those that it inherits."""

POLL = 0.1
"""Seconds between two checks of what the workers take."""

MOST_PRINTED = 2**24
"""Bytes that an item may print."""

QUOTED = 200
"""Characters, of what was printed last, that are quoted."""


class CampaignError(RuntimeError):
    """A campaign that cannot go on; its message is one line."""


class Limits(NamedTuple):
    """The limits of one item: seconds, and MiB that its worker may hold in memory (checked where there is a /proc)."""

    seconds: float
    memory: int


UNLIMITED = Limits(math.inf, 2**40)


class Failure(NamedTuple):
    """Why an item has no record: the verdict, and the reason on one line."""

    verdict: Verdict
    reason: str


@dataclass(frozen=True)
class Job:
    """Work for one worker: work(argument, i) yields the records of item i and of all after it, `count` in all.

    `failed` gives the record of an item for which none came. Jobs of one kin are best done by one worker, which has
    loaded or compiled what they need.
    """

    work: Callable[[Any, int], Iterator[Any]]
    argument: Any
    count: int
    failed: Callable[[Any, int, Failure], Any]
    limits: Limits
    kin: str | None = None


# --- in the worker


def serve(pipe: Connection, printed: str) -> None:
    """Do the jobs that the pipe brings, each from an item on, until it closes; a fork of it ends in `send`."""
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


def shared_programs(folder: Path) -> dict[str, str]:
    """The variables by which JAX keeps in a folder what one worker has compiled, for the others."""
    if "JAX_COMPILATION_CACHE_DIR" in os.environ:
        return {}
    return {
        "JAX_COMPILATION_CACHE_DIR": str(folder / "compiled"),
        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
        "JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES": "-1",
    }


class Worker:
    """A process, the job that it has, and the item that it is at."""

    def __init__(self, folder: Path) -> None:
        context = multiprocessing.get_context("spawn")
        self.pipe, other = context.Pipe()
        descriptor, printed = tempfile.mkstemp(dir=folder)
        os.close(descriptor)
        self.printed = Path(printed)
        self.process = context.Process(target=serve, args=(other, printed), daemon=True)
        with environment_variables({**SETTINGS, **shared_programs(folder)}):
            self.process.start()
        other.close()
        self.job: tuple[int, Job] | None = None
        self.kin: str | None = None
        self.item, self.since = 0, math.inf

    def begin(self, number: int, job: Job, item: int) -> None:
        """Give it a job, from an item on; its seconds count once it is ready."""
        self.job, self.item, self.since, self.kin = (number, job), item, math.inf, job.kin
        with suppress(OSError):  # a worker that has died is noticed where its answer is read
            self.pipe.send((job.work, job.argument, item))

    def over_limit(self) -> Failure | None:
        """The limit that it exceeds, if it does."""
        assert self.job is not None
        limits = self.job[1].limits
        if time.monotonic() - self.since > limits.seconds:
            return Failure(Verdict.TIMED_OUT, f"it takes more than {limits.seconds:g} s")
        if resident(self.process.pid) > limits.memory:
            return Failure(Verdict.CRASHED, f"it holds more than {limits.memory} MiB of memory")
        if self.printed.stat().st_size > MOST_PRINTED:
            return Failure(Verdict.CRASHED, f"it prints more than {MOST_PRINTED // 2**20} MiB")
        return None

    def end(self, patience: float = 1.0) -> Failure:
        """Kill it and what it started; gives how it ended, if it ends by itself within so many seconds."""
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
        printed = self.last_printed()
        self.printed.unlink(missing_ok=True)
        return Failure(Verdict.CRASHED, f"{how}{f', having printed {printed!r}' if printed else ''}")

    def exit_code(self, patience: float) -> int | None:
        """The exit code, if it ends within so many seconds; `join` would wait for ever if it has closed its files."""
        until = time.monotonic() + patience
        while (code := self.process.exitcode) is None and time.monotonic() < until:
            time.sleep(POLL / 10)
        return code

    def last_printed(self) -> str:
        """The end of what it printed, on one line."""
        if not self.printed.exists():
            return ""
        with self.printed.open("rb") as file:
            file.seek(max(0, self.printed.stat().st_size - 4 * QUOTED))
            return " ".join(file.read().decode(errors="replace").split())[-QUOTED:]


def resident(process: int | None) -> float:
    """MiB that a process has in memory; 0 where the system has no /proc, or the process is gone."""
    try:
        pages = int(Path(f"/proc/{process}/statm").read_text().split()[1])
    except (OSError, IndexError):
        return 0.0
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


def run(jobs: Sequence[Job], workers: int, done: Callable[[int, int, Any], None] = lambda *_: None) -> list[list[Any]]:
    """The records of every job, in its own order; `done` is called with each as it comes: job, item, record."""
    records: list[list[Any]] = [[None] * job.count for job in jobs]
    waiting = [(number, 0) for number in reversed(range(len(jobs))) if jobs[number].count]
    at_work: list[Worker] = []

    def take(worker: Worker, record: Any) -> None:
        assert worker.job is not None
        number = worker.job[0]
        records[number][worker.item] = record
        done(number, worker.item, record)
        worker.item, worker.since = worker.item + 1, time.monotonic()

    def fail(worker: Worker, failure: Failure) -> None:
        assert worker.job is not None
        number, job = worker.job
        if worker.item < job.count:  # else it failed after its last record
            take(worker, job.failed(job.argument, worker.item, failure))
        if worker.item < job.count:
            waiting.append((number, worker.item))
        worker.job = None

    def next_job(worker: Worker) -> None:
        at = choice([jobs[number].kin for number, _ in waiting], worker.kin, [each.kin for each in at_work])
        number, item = waiting.pop(at)
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
    return records


def choice(waiting: Sequence[str | None], own: str | None, taken: Sequence[str | None]) -> int:
    """Which job a worker does next: the last one of its own kin, else of a kin that no worker has, else the last."""
    last = {kin: place for place, kin in enumerate(waiting)}
    if own in last:
        return last[own]
    return max((place for kin, place in last.items() if kin not in taken), default=len(waiting) - 1)


def look(
    at_work: Sequence[Worker],
    take: Callable[[Worker, Any], None],
    fail: Callable[[Worker, Failure], None],
) -> list[Worker]:
    """Take in what has come, and end workers that exceed a limit; gives the workers that have ended."""
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
        elif failure := worker.over_limit():
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
    """Take a message of a worker in: that it is ready, a record, that it is done, or that its work has raised."""
    assert worker.job is not None
    job = worker.job[1]
    if kind == "ready":  # the time that it took to start is not the item's
        worker.since = time.monotonic()
    elif kind == "record" and worker.item < job.count:
        take(worker, content)
    elif kind == "done" and worker.item == job.count:
        worker.job = None
    else:
        reason = content if kind == "failed" else f"{worker.item} of {job.count} items came"
        fail(worker, Failure(Verdict.CRASHED, reason))


# --- work without which nothing can go on


def each(
    work: Callable[[Any], Any], arguments: Sequence[Any], workers: int, done: Callable[[Any], None] = lambda _: None
) -> list[Any]:
    """The results of work(argument), in the order of the arguments, from worker processes; `done` is called with each.

    Raises CampaignError where one raises, or where its worker dies.
    """
    jobs = [Job(one_result, (work, argument), 1, raise_lost, UNLIMITED) for argument in arguments]
    return [result for (result,) in run(jobs, workers, lambda number, item, result: done(result))]


def one_result(work_and_argument: tuple[Callable[[Any], Any], Any], start: int) -> Iterator[Any]:
    """One result, as a job of one item."""
    work, argument = work_and_argument
    yield work(argument)


def raise_lost(work_and_argument: tuple[Callable[[Any], Any], Any], index: int, failure: Failure) -> NoReturn:
    """Raise CampaignError: without a result nothing goes on."""
    work, _ = work_and_argument
    raise CampaignError(f"{work.__module__}.{work.__qualname__} gave no result: {failure.reason}")
