"""The cost of the audit beside the engines and gradcheck, and of the reference beside torch.

Every engine is timed in a process of its own, undisturbed by the threads of another, and in turns: in each round every
contestant is timed once, while the others wait on a pipe. A ratio is that of the medians over the rounds.
"""

import multiprocessing
import os
import signal
import statistics
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from multiprocessing.connection import Connection
from typing import Any, NamedTuple, TypedDict, TypeVar, cast

import numpy as np
from rich import box
from rich.console import Console
from rich.table import Table

from adapters.contract import ENGINES, Adapter, AdapterError, Trainer, describe, load
from reference import network
from reference.audit import audit
from reference.case import Case, Trace
from reference.cases import Combination, Shape, draw_case
from reference.optimisers import optimiser
from reference.training import Plan
from reports.results.environment import cores, environment
from reports.results.records import Environment
from reports.running.tally import Tally
from reports.running.variables import environment_variables
from reports.trajectories.steps import steps

SCHEMA = "backprop-parity/bench/1"

SEED = 2026

LAYERS = 3

ENOUGH = 5e-3
"""Seconds that one measurement takes at least; a call that is shorter is repeated."""

SETTLE = 0.05
"""Seconds before each measurement with several threads: those of OpenBLAS and OpenMP spin for a while after work."""

THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NPROC", "PJRT_NPROC")
"""The variables that torch, NumPy's BLAS and XLA take their number of threads from."""


# --- the records of bench.json


class Timing(TypedDict):
    """The seconds of one call: median and quartiles over the rounds."""

    median: float
    lower: float
    upper: float
    rounds: int


class Setup(TypedDict):
    """What the timings of a record have in common."""

    threads: int
    width: int
    parameters: int


class AuditRecord(Setup):
    """The audit of an engine's trace, beside that trace."""

    engine: str
    dtype: str
    audit: Timing
    trace: Timing
    ratio: float


class GradcheckRecord(Setup):
    """gradcheck in one of its modes, beside the audit."""

    mode: str
    gradcheck: Timing
    audit: Timing
    ratio: float


class TrainingRecord(Setup):
    """Steps of training alone, and each of them audited; the ratio is what the audit adds."""

    engine: str
    dtype: str
    optimiser: str
    steps: int
    train: Timing
    audited: Timing
    ratio: float


NetworkRecord = TypedDict(
    "NetworkRecord",
    {
        "threads": int,
        "width": int,
        "parameters": int,
        "numpy": Timing,
        "torch": Timing,
        "products": Timing,
        "numpy/torch": float,
        "numpy/products": float,
    },
)
"""NumPy's forward and backward pass, torch's, and the matrix products alone."""


class BenchRequest(TypedDict):
    """The sizes that all records share."""

    rounds: int
    samples: int
    layers: int
    seed: int


class Load(TypedDict):
    """The load average before and after."""

    before: float | None
    after: float | None


class Bench(TypedDict):
    """bench.json."""

    schema: str
    environment: Environment
    request: BenchRequest
    load: Load
    audit: list[AuditRecord]
    gradcheck: list[GradcheckRecord]
    training: list[TrainingRecord]
    network: list[NetworkRecord]


class BenchError(AdapterError):
    """An engine that cannot be timed; the message is one line."""


@dataclass(frozen=True)
class Sizes:
    """What is measured: networks of three weight layers, all of one width.

    audited    widths at which the audit stands beside every engine's trace
    checked    those of them at which it stands beside gradcheck; at width 256, the slow mode takes minutes
    networks   widths at which NumPy's forward and backward pass stands beside torch's
    trained    widths at which audited training stands beside training
    threads    of every engine alike
    """

    engines: tuple[str, ...] = tuple(ENGINES)
    audited: tuple[int, ...] = (8, 32, 64, 256)
    checked: tuple[int, ...] = (8, 32, 64)
    networks: tuple[int, ...] = (32, 256, 1024)
    trained: tuple[int, ...] = (256,)
    samples: int = 32
    threads: tuple[int, ...] = tuple(sorted({1, cores()}))
    slow_rounds: int = 2


class Network(NamedTuple):
    """Everything that a random Case follows from; each process draws its own."""

    width: int
    samples: int
    dtype: str

    @property
    def parameters(self) -> int:
        """Weights and biases."""
        return LAYERS * (self.width + 1) * self.width

    def case(self) -> Case:
        """tanh, the identity as the output, the half squared error."""
        shape = Shape((self.width,) * (LAYERS + 1), self.samples)
        combination = Combination("tanh", "identity", "half_squared_error")
        return draw_case(np.random.default_rng(SEED), combination, shape, self.dtype)


# --- what is timed, each in the process of one engine

Work = Callable[[], Any]


def engine_trace(adapter: Adapter, case: Case, trace: Trace | None) -> Work:
    """The engine's own trace, as the campaign asks for it; it ends in NumPy arrays, so nothing is left running."""
    return lambda: adapter.trace(case)


def audit_of_trace(adapter: Adapter, case: Case, trace: Trace | None) -> Work:
    """The audit of the trace of some engine."""
    assert trace is not None
    return lambda: audit(case, trace)


def numpy_passes(adapter: Adapter, case: Case, trace: Trace | None) -> Work:
    """The reference's forward and backward pass."""

    def passes() -> object:
        z, a = network.forward(case, case.W, case.b, case.x)
        return network.backward(case, case.W, z, a, case.y)

    return passes


def numpy_products(adapter: Adapter, case: Case, trace: Trace | None) -> Work:
    """The matrix products of both passes and nothing else: the floor under any NumPy implementation."""
    z, a = network.forward(case, case.W, case.b, case.x)
    delta, _ = network.backward(case, case.W, z, a, case.y)

    def products() -> None:
        for l in case.layers:
            a[l - 1] @ case.W[l].T
        for l in reversed(case.layers):
            delta[l].T @ a[l - 1]
            if l > 1:
                delta[l] @ case.W[l]

    return products


def torch_loss(case: Case) -> tuple[Callable[..., Any], list[Any]]:
    """The loss as a function of all weights and biases, in plain torch, and those."""
    import torch
    import torch.nn.functional as F

    dtype = getattr(torch, case.dtype)
    parameters = [torch.tensor(p[l], dtype=dtype, requires_grad=True) for l in case.layers for p in (case.W, case.b)]
    x, y = torch.tensor(case.x, dtype=dtype), torch.tensor(case.y, dtype=dtype)

    def loss(*parameters: Any) -> Any:
        a = x
        for l in case.layers:
            a = F.linear(a, *parameters[2 * l - 2 : 2 * l])
            if l < case.last:
                a = torch.tanh(a)
        return F.mse_loss(a, y, reduction="sum") / 2 / len(x)

    return loss, parameters


def torch_passes(adapter: Adapter, case: Case, trace: Trace | None) -> Work:
    """torch's eager forward and backward pass, without any conversion."""
    import torch

    loss, parameters = torch_loss(case)
    return lambda: torch.autograd.grad(loss(*parameters), parameters)


def gradcheck(fast: bool) -> Callable[[Adapter, Case, Trace | None], Work]:
    """torch.autograd.gradcheck of the loss, with its own defaults, in fast or slow mode."""

    def task(adapter: Adapter, case: Case, trace: Trace | None) -> Work:
        import torch

        loss, parameters = torch_loss(case)
        return lambda: torch.autograd.gradcheck(loss, parameters, fast_mode=fast)

    return task


STEPS = 4

OPTIMISERS = ("gradient_descent", "adam")


def steps_of(case: Case, optimiser_name: str) -> Plan:
    """A few steps on the full batch."""
    return Plan((np.arange(case.samples),) * STEPS, optimiser(optimiser_name, learning_rate=1e-3))


def training(optimiser_name: str) -> Callable[[Adapter, Case, Trace | None], Work]:
    """An engine's own training steps."""

    def task(adapter: Adapter, case: Case, trace: Trace | None) -> Work:
        plan = steps_of(case, optimiser_name)
        return lambda: deque(cast(Trainer, adapter).train(case, plan), maxlen=0)

    return task


def audited_training(optimiser_name: str) -> Callable[[Adapter, Case, Trace | None], Work]:
    """The same steps, each audited; raises BenchError where one does not hold."""

    def task(adapter: Adapter, case: Case, trace: Trace | None) -> Work:
        plan = steps_of(case, optimiser_name)

        def work() -> None:
            tally = Tally()
            deque(steps(adapter, "cpu", case, plan, tally), maxlen=0)
            if not tally.holds():
                raise BenchError(f"training in {adapter.name!r} does not hold")

        return work

    return task


TASKS: dict[str, Callable[[Adapter, Case, Trace | None], Work]] = {
    "trace": engine_trace,
    "audit": audit_of_trace,
    "numpy": numpy_passes,
    "products": numpy_products,
    "torch": torch_passes,
    "gradcheck fast": gradcheck(fast=True),
    "gradcheck slow": gradcheck(fast=False),
    **{f"train {name}": training(name) for name in OPTIMISERS},
    **{f"audited {name}": audited_training(name) for name in OPTIMISERS},
}


def timed(work: Work) -> float:
    """Seconds of one call: the mean over as many calls as fill ENOUGH.

    Before them, a call of less than ENOUGH finds its caches cold, and does not count.
    """
    start = time.perf_counter()
    work()
    if (elapsed := time.perf_counter() - start) >= ENOUGH:
        return elapsed
    calls, start = 0, time.perf_counter()
    while (elapsed := time.perf_counter() - start) < ENOUGH:
        work()
        calls += 1
    return elapsed / calls


def serve(pipe: Connection, engine: str) -> None:
    """A worker: prepare and time what the parent asks for, until it closes the pipe; then wait, without spinning.

    ("prepare", task, network, trace) answers with the number of what was prepared, after one call that warms it up
    (compiles it, for JAX), and with the result if that is a Trace; ("time", number) answers with seconds.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent ends its workers
    prepared: list[Work] = []
    try:
        adapter = load(engine)
        while True:
            verb, *arguments = pipe.recv()
            if verb == "time":
                pipe.send(("done", timed(prepared[arguments[0]])))
                continue
            task, of, trace = arguments
            work = TASKS[task](adapter, of.case(), trace)
            first = None if task == "gradcheck slow" else work()
            prepared.append(work)
            pipe.send(("done", (len(prepared) - 1, first if task == "trace" else None)))
    except EOFError:
        return
    except Exception as error:  # whatever an engine raises is its answer, and its last
        pipe.send(("failed", describe(error)))
        with suppress(EOFError):
            while True:
                pipe.recv()


# --- the parent, which asks in turn


class Worker:
    """A process with one engine."""

    def __init__(self, engine: str, threads: int) -> None:
        self.engine, self.threads = engine, threads
        context = multiprocessing.get_context("spawn")
        self.pipe, other = context.Pipe()
        self.process = context.Process(target=serve, args=(other, engine), daemon=True)
        with environment_variables(dict.fromkeys(THREADS, str(threads))):
            self.process.start()
        other.close()

    def ask(self, *message: object) -> Any:
        """The worker's answer; raises BenchError where it has none."""
        try:
            self.pipe.send(message)
            verdict, answer = self.pipe.recv()
        except (EOFError, OSError) as error:
            self.process.join(1)
            raise BenchError(
                f"engine {self.engine!r} cannot be timed: its process ended with exit status {self.process.exitcode}"
            ) from error
        if verdict == "failed":
            raise BenchError(f"engine {self.engine!r} cannot be timed: {answer}")
        return answer

    def prepare(self, task: str, of: Network, trace: Trace | None = None) -> tuple["Contestant", Trace | None]:
        """Something to be timed, and the trace if it is one."""
        number, traced = self.ask("prepare", task, of, trace)
        return Contestant(self, number), traced

    def close(self) -> None:
        """End the process."""
        self.pipe.close()
        self.process.terminate()
        self.process.join()


@dataclass(frozen=True)
class Contestant:
    """What one worker has prepared."""

    worker: Worker
    number: int

    def time(self) -> float:
        """Seconds of one call."""
        if self.worker.threads > 1:
            time.sleep(SETTLE)
        return float(self.worker.ask("time", self.number))


@contextmanager
def workers(engines: Sequence[str], threads: int) -> Iterator[dict[str, Worker]]:
    """One process an engine, ended with the block."""
    with ExitStack() as stack:
        started = {}
        for engine in engines:
            started[engine] = Worker(engine, threads)
            stack.callback(started[engine].close)
        yield started


Name = TypeVar("Name")


def in_turns(contestants: Mapping[Name, Contestant], rounds: int, seldom: Mapping[Name, int]) -> dict[Name, Timing]:
    """Time every contestant once a round; those in `seldom` in the first few rounds only."""
    seconds: dict[Name, list[float]] = {name: [] for name in contestants}
    for turn in range(rounds):
        for name, contestant in contestants.items():
            if turn < seldom.get(name, rounds):
                seconds[name].append(contestant.time())
    return {name: timing(times) for name, times in seconds.items()}


def timing(seconds: list[float]) -> Timing:
    """Median and quartiles of the rounds."""
    lower, upper = (float(q) for q in np.quantile(seconds, (0.25, 0.75)))
    return {"median": statistics.median(seconds), "lower": lower, "upper": upper, "rounds": len(seconds)}


def ratio(over: Timing, under: Timing) -> float:
    """The ratio of two medians."""
    return float(over["median"] / under["median"])


def time_audits(
    processes: dict[str, Worker], width: int, sizes: Sizes, rounds: int
) -> tuple[list[AuditRecord], list[GradcheckRecord]]:
    """At one width: the audit of each engine's trace beside that trace, and beside gradcheck on the same network."""
    contestants: dict[tuple[str, str, str], Contestant] = {}
    for dtype in ("float32", "float64"):
        of = Network(width, sizes.samples, dtype)
        for engine in sizes.engines:
            contestants["trace", engine, dtype], trace = processes[engine].prepare("trace", of)
            contestants["audit", engine, dtype], _ = processes["numpy"].prepare("audit", of, trace)
    modes = ("fast", "slow") if width in sizes.checked else ()
    for mode in modes:
        contestants["gradcheck", "torch-eager", mode], _ = processes["torch-eager"].prepare(f"gradcheck {mode}", of)
    times = in_turns(contestants, rounds, {("gradcheck", "torch-eager", "slow"): sizes.slow_rounds})
    setup: Setup = {"threads": processes["numpy"].threads, "width": width, "parameters": of.parameters}
    audits: list[AuditRecord] = []
    for what, engine, dtype in contestants:
        if what == "audit":
            one, other = times["audit", engine, dtype], times["trace", engine, dtype]
            audits.append(
                {**setup, "engine": engine, "dtype": dtype, "audit": one, "trace": other, "ratio": ratio(one, other)}
            )
    checks: list[GradcheckRecord] = []
    for mode in modes:
        one, other = times["audit", "torch-eager", "float64"], times["gradcheck", "torch-eager", mode]
        checks.append({**setup, "mode": mode, "gradcheck": other, "audit": one, "ratio": ratio(other, one)})
    return audits, checks


def time_network(processes: dict[str, Worker], width: int, sizes: Sizes, rounds: int) -> NetworkRecord:
    """At one width, in float64: NumPy's forward and backward pass, torch's, and NumPy's matrix products alone."""
    of = Network(width, sizes.samples, "float64")
    contestants = {
        name: processes[engine].prepare(name, of)[0]
        for name, engine in (("numpy", "numpy"), ("torch", "torch-eager"), ("products", "numpy"))
    }
    times = in_turns(contestants, rounds, {})
    return {
        "threads": processes["numpy"].threads,
        "width": width,
        "parameters": of.parameters,
        "numpy": times["numpy"],
        "torch": times["torch"],
        "products": times["products"],
        "numpy/torch": ratio(times["numpy"], times["torch"]),
        "numpy/products": ratio(times["numpy"], times["products"]),
    }


def time_training(processes: dict[str, Worker], width: int, sizes: Sizes, rounds: int) -> list[TrainingRecord]:
    """At one width: what the audit of every step adds to training in each engine, per optimiser and dtype."""
    runs = {
        (engine, dtype, name): Network(width, sizes.samples, dtype)
        for engine in sizes.engines
        for dtype in ("float32", "float64")
        for name in OPTIMISERS
    }
    contestants = {
        (verb, *run): processes[run[0]].prepare(f"{verb} {run[2]}", of)[0]
        for run, of in runs.items()
        for verb in ("train", "audited")
    }
    seconds = in_turns(contestants, rounds, {})
    records: list[TrainingRecord] = []
    for (engine, dtype, name), of in runs.items():
        alone, audited = (seconds[verb, engine, dtype, name] for verb in ("train", "audited"))
        records.append(
            {
                "threads": processes["numpy"].threads,
                "width": width,
                "parameters": of.parameters,
                "engine": engine,
                "dtype": dtype,
                "optimiser": name,
                "steps": STEPS,
                "train": alone,
                "audited": audited,
                "ratio": ratio(audited, alone) - 1,
            }
        )
    return records


def measure(rounds: int, console: Console, sizes: Sizes | None = None) -> Bench:
    """bench.json: every comparison, with 1 thread and with all, and the environment.

    Raises BenchError if an engine cannot be timed.
    """
    sizes = sizes or Sizes()
    started, clock, load_before = datetime.now(UTC).isoformat(timespec="seconds"), time.perf_counter(), load_average()
    audits: list[AuditRecord] = []
    checks: list[GradcheckRecord] = []
    trainings: list[TrainingRecord] = []
    networks: list[NetworkRecord] = []

    def report(what: str, threads: int) -> None:
        console.print(f"{time.perf_counter() - clock:4.0f} s  {what}, threads: {threads}", highlight=False)

    for threads in sizes.threads:
        with workers(sizes.engines, threads) as processes:
            for width in sizes.audited:
                report(f"the audit at width {width}", threads)
                of_audit, of_gradcheck = time_audits(processes, width, sizes, rounds)
                audits += of_audit
                checks += of_gradcheck
            for width in sizes.trained:
                report(f"audited training at width {width}", threads)
                trainings += time_training(processes, width, sizes, rounds)
            for width in sizes.networks:
                report(f"NumPy and torch at width {width}", threads)
                networks.append(time_network(processes, width, sizes, rounds))
    return {
        "schema": SCHEMA,
        "environment": environment({}, SEED, started, time.perf_counter() - clock),
        "request": {"rounds": rounds, "samples": sizes.samples, "layers": LAYERS, "seed": SEED},
        "load": {"before": load_before, "after": load_average()},
        "audit": audits,
        "gradcheck": checks,
        "training": trainings,
        "network": networks,
    }


def load_average() -> float | None:
    """The mean number of processes that were ready to run in the last minute: noise, where it exceeds our own."""
    return os.getloadavg()[0] if hasattr(os, "getloadavg") else None


# --- what a person sees


def tables(bench: Bench) -> list[Table]:
    """One table a comparison: medians over the rounds, and their ratios."""
    about = f"{bench['request']['samples']} samples, medians of {bench['request']['rounds']} rounds, ms"
    audits = table(f"audit beside the engine's trace: {about}", ("engine", "dtype"), ("trace", "audit", "audit/trace"))
    for a in bench["audit"]:
        numbers = duration(a["trace"]), duration(a["audit"]), three_digits(a["ratio"])
        audits.add_row(*head(a), a["engine"], a["dtype"], *numbers)
    checks = table(
        f"gradcheck beside the audit, float64: {about}", ("mode",), ("gradcheck", "audit", "gradcheck/audit")
    )
    for c in bench["gradcheck"]:
        checks.add_row(*head(c), c["mode"], duration(c["gradcheck"]), duration(c["audit"]), three_digits(c["ratio"]))
    trained = table(
        f"audited training beside training: {about}, of {STEPS} steps",
        ("engine", "dtype", "optimiser"),
        ("training", "audited", "audit/training"),
    )
    for t in bench["training"]:
        numbers = duration(t["train"]), duration(t["audited"]), three_digits(t["ratio"])
        trained.add_row(*head(t), t["engine"], t["dtype"], t["optimiser"], *numbers)
    headings = ("NumPy", "torch", "products", "NumPy/torch", "NumPy/products")
    passes = table(f"forward and backward, float64: {about}", (), headings)
    for n in bench["network"]:
        durations = duration(n["numpy"]), duration(n["torch"]), duration(n["products"])
        passes.add_row(*head(n), *durations, three_digits(n["numpy/torch"]), three_digits(n["numpy/products"]))
    return [audits, checks, trained, passes]


def table(title: str, names: tuple[str, ...], numbers: tuple[str, ...]) -> Table:
    """An empty table; every one starts with threads, width and parameters."""
    empty = Table(title=title, title_style="dim", box=box.SIMPLE, pad_edge=False, collapse_padding=True)
    for heading in ("threads", "width", "parameters"):
        empty.add_column(heading, justify="right")
    for heading in names:
        empty.add_column(heading, no_wrap=True)
    for heading in numbers:
        empty.add_column(heading, justify="right", no_wrap=True)
    return empty


def head(record: Setup | NetworkRecord) -> tuple[str, str, str]:
    """The cells that every row starts with."""
    return str(record["threads"]), str(record["width"]), f"{record['parameters']:,}"


def duration(timing: Timing) -> str:
    """A median in milliseconds, three digits."""
    return three_digits(1e3 * timing["median"])


def three_digits(number: float) -> str:
    """A number, three digits."""
    return f"{number:,.0f}" if number >= 100 else f"{number:.3g}"
