"""What the audit costs beside the engines and beside gradcheck, and the reference beside torch.

Every engine is timed in a process of its own, so that no thread pool of another stands in its way, and in turns: within
a round each contestant is asked once, while the others wait on a pipe. A ratio is that of the medians over the rounds.
"""

import multiprocessing
import os
import signal
import statistics
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from multiprocessing.connection import Connection
from typing import Any, NamedTuple, cast

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

Record = dict[str, Any]


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
    """The audit of a trace that some engine made."""
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
        number, made = self.ask("prepare", task, of, trace)
        return Contestant(self, number), made

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
        made = {}
        for engine in engines:
            made[engine] = Worker(engine, threads)
            stack.callback(made[engine].close)
        yield made


def in_turns(contestants: dict[Any, Contestant], rounds: int, seldom: dict[Any, int]) -> dict[Any, Record]:
    """Time every contestant once a round; those in `seldom` in the first few rounds only."""
    seconds: dict[Any, list[float]] = {name: [] for name in contestants}
    for turn in range(rounds):
        for name, contestant in contestants.items():
            if turn < seldom.get(name, rounds):
                seconds[name].append(contestant.time())
    return {name: summary(times) for name, times in seconds.items()}


def summary(seconds: list[float]) -> Record:
    """Median and quartiles of the rounds."""
    lower, upper = (float(q) for q in np.quantile(seconds, (0.25, 0.75)))
    return {"median": statistics.median(seconds), "lower": lower, "upper": upper, "rounds": len(seconds)}


def ratio(over: Record, under: Record) -> float:
    """The ratio of two medians."""
    return float(over["median"] / under["median"])


def beside_engines(made: dict[str, Worker], width: int, sizes: Sizes, rounds: int) -> tuple[list[Record], list[Record]]:
    """At one width: the audit of each engine's trace beside that trace, and beside gradcheck on the same network."""
    contestants, threads = {}, made["numpy"].threads
    for dtype in ("float32", "float64"):
        of = Network(width, sizes.samples, dtype)
        for engine in sizes.engines:
            contestants["trace", engine, dtype], trace = made[engine].prepare("trace", of)
            contestants["audit", engine, dtype], _ = made["numpy"].prepare("audit", of, trace)
    modes = ("fast", "slow") if width in sizes.checked else ()
    for mode in modes:
        contestants["gradcheck", "torch-eager", mode], _ = made["torch-eager"].prepare(f"gradcheck {mode}", of)
    times = in_turns(contestants, rounds, {("gradcheck", "torch-eager", "slow"): sizes.slow_rounds})
    about = {"threads": threads, "width": width, "parameters": of.parameters}
    audits = []
    for what, engine, dtype in contestants:
        if what == "audit":
            one, other = times["audit", engine, dtype], times["trace", engine, dtype]
            audits.append(
                about | {"engine": engine, "dtype": dtype, "audit": one, "trace": other, "ratio": ratio(one, other)}
            )
    one = times["audit", "torch-eager", "float64"]
    checks = []
    for mode in modes:
        other = times["gradcheck", "torch-eager", mode]
        checks.append(about | {"mode": mode, "gradcheck": other, "audit": one, "ratio": ratio(other, one)})
    return audits, checks


def beside_torch(made: dict[str, Worker], width: int, sizes: Sizes, rounds: int) -> Record:
    """At one width, in float64: NumPy's forward and backward pass, torch's, and NumPy's matrix products alone."""
    of = Network(width, sizes.samples, "float64")
    contestants = {
        name: made[engine].prepare(name, of)[0]
        for name, engine in (("numpy", "numpy"), ("torch", "torch-eager"), ("products", "numpy"))
    }
    times = in_turns(contestants, rounds, {})
    ratios = {f"numpy/{name}": ratio(times["numpy"], times[name]) for name in ("torch", "products")}
    return {"threads": made["numpy"].threads, "width": width, "parameters": of.parameters, **times, **ratios}


def beside_training(made: dict[str, Worker], width: int, sizes: Sizes, rounds: int) -> list[Record]:
    """At one width: what the audit of every step adds to training in each engine, per optimiser and dtype."""
    runs = {
        (engine, dtype, name): Network(width, sizes.samples, dtype)
        for engine in sizes.engines
        for dtype in ("float32", "float64")
        for name in OPTIMISERS
    }
    contestants = {
        (verb, *run): made[run[0]].prepare(f"{verb} {run[2]}", of)[0]
        for run, of in runs.items()
        for verb in ("train", "audited")
    }
    seconds = in_turns(contestants, rounds, {})
    rows = []
    for (engine, dtype, name), of in runs.items():
        alone, audited = (seconds[verb, engine, dtype, name] for verb in ("train", "audited"))
        about = {"threads": made["numpy"].threads, "width": width, "parameters": of.parameters}
        run = {"engine": engine, "dtype": dtype, "optimiser": name, "steps": STEPS}
        rows.append(about | run | {"train": alone, "audited": audited, "ratio": ratio(audited, alone) - 1})
    return rows


def measure(rounds: int, console: Console, sizes: Sizes | None = None) -> Record:
    """bench.json: every comparison, with 1 thread and with all, and what it was measured on.

    Raises BenchError if an engine cannot be timed.
    """
    sizes = sizes or Sizes()
    started, clock, load_before = datetime.now(UTC).isoformat(timespec="seconds"), time.perf_counter(), load_average()
    found: dict[str, list[Record]] = {"audit": [], "gradcheck": [], "training": [], "network": []}

    def say(what: str, threads: int) -> None:
        console.print(f"{time.perf_counter() - clock:4.0f} s  {what}, threads: {threads}", highlight=False)

    for threads in sizes.threads:
        with workers(sizes.engines, threads) as made:
            for width in sizes.audited:
                say(f"the audit at width {width}", threads)
                audits, checks = beside_engines(made, width, sizes, rounds)
                found["audit"] += audits
                found["gradcheck"] += checks
            for width in sizes.trained:
                say(f"audited training at width {width}", threads)
                found["training"] += beside_training(made, width, sizes, rounds)
            for width in sizes.networks:
                say(f"NumPy and torch at width {width}", threads)
                found["network"].append(beside_torch(made, width, sizes, rounds))
    about = environment({}, SEED, started, time.perf_counter() - clock)
    request = {"rounds": rounds, "samples": sizes.samples, "layers": LAYERS, "seed": SEED}
    load = {"before": load_before, "after": load_average()}
    return {"schema": SCHEMA, "environment": about, "request": request, "load": load, **found}


def load_average() -> float | None:
    """Processes that wanted to run during the last minute, where the system tells it: noise, if it exceeds ours."""
    return os.getloadavg()[0] if hasattr(os, "getloadavg") else None


# --- what a person sees


def tables(found: Record) -> list[Table]:
    """One table a comparison: medians over the rounds, and their ratios."""
    about = f"{found['request']['samples']} samples, medians of {found['request']['rounds']} rounds, ms"
    audits = table(f"audit beside the engine's trace: {about}", ("engine", "dtype"), ("trace", "audit", "audit/trace"))
    for row in found["audit"]:
        audits.add_row(
            *head(row), row["engine"], row["dtype"], duration(row["trace"]), duration(row["audit"]), times(row["ratio"])
        )
    checks = table(
        f"gradcheck beside the audit, float64: {about}", ("mode",), ("gradcheck", "audit", "gradcheck/audit")
    )
    for row in found["gradcheck"]:
        checks.add_row(*head(row), row["mode"], duration(row["gradcheck"]), duration(row["audit"]), times(row["ratio"]))
    trained = table(
        f"audited training beside training: {about}, of {STEPS} steps",
        ("engine", "dtype", "optimiser"),
        ("training", "audited", "audit/training"),
    )
    for row in found["training"]:
        name = (row["engine"], row["dtype"], row["optimiser"])
        trained.add_row(*head(row), *name, *(duration(row[of]) for of in ("train", "audited")), times(row["ratio"]))
    headings = ("NumPy", "torch", "products", "NumPy/torch", "NumPy/products")
    passes = table(f"forward and backward, float64: {about}", (), headings)
    for row in found["network"]:
        ratios = (times(row[f"numpy/{name}"]) for name in ("torch", "products"))
        passes.add_row(*head(row), *(duration(row[name]) for name in ("numpy", "torch", "products")), *ratios)
    return [audits, checks, trained, passes]


def table(title: str, names: tuple[str, ...], numbers: tuple[str, ...]) -> Table:
    """An empty table; every one starts with threads, width and parameters."""
    made = Table(title=title, title_style="dim", box=box.SIMPLE, pad_edge=False, collapse_padding=True)
    for heading in ("threads", "width", "parameters"):
        made.add_column(heading, justify="right")
    for heading in names:
        made.add_column(heading, no_wrap=True)
    for heading in numbers:
        made.add_column(heading, justify="right", no_wrap=True)
    return made


def head(row: Record) -> tuple[str, str, str]:
    """The cells that every row starts with."""
    return str(row["threads"]), str(row["width"]), f"{row['parameters']:,}"


def duration(timing: Record) -> str:
    """A median in milliseconds, three digits."""
    return times(1e3 * timing["median"])


def times(number: float) -> str:
    """A number, three digits."""
    return f"{number:,.0f}" if number >= 100 else f"{number:.3g}"
