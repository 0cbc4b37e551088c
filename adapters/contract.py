"""What an engine has to offer. Structural: an adapter of a third party imports nothing of ours."""

import importlib
import importlib.util
from collections.abc import Container, Iterator, Mapping
from importlib import metadata
from pathlib import Path
from types import ModuleType
from typing import Any, Protocol, cast

import numpy as np
from packaging.version import Version

from adapters.declared import understood
from reference.accuracy import ANY_ON_GPU
from reference.arithmetic import Arithmetic
from reference.arrays import Array
from reference.audit import MalformedTrace
from reference.case import Case, Trace
from reference.training import Plan, Step

ENGINES = {
    "numpy": "adapters.numpy.engine:NumpyEngine",
    "torch-eager": "adapters.torch.eager:TorchEager",
    "jax-jit": "adapters.jax.jit:JaxJit",
    "jax-whole": "adapters.jax.whole:JaxWhole",
}
"""The engines that come with the suite: name -> where its class is; imported when the engine is asked for."""

FLOORS = {
    "adapters.numpy": {"numpy": "2.0"},
    "adapters.torch": {"torch": "2.11"},
    "adapters.jax": {"jax": "0.10", "optax": "0.2.5"},
}
"""The oldest versions that the engines of a folder run with: older frameworks name and compute things otherwise."""


FAILURES = (Exception, SystemExit)
"""What an adapter's code may raise, and what is then its answer: never the end of a campaign, nor of the program."""


class AdapterError(ValueError):
    """An adapter that cannot be loaded, or a device that is not there; the message is one line."""


class Adapter(Protocol):
    """An engine. The class is called without arguments, or with `device=` where another than the CPU is asked for.

    Arrays in a Case are float64 and hold numbers of the Case's dtype exactly; the engine computes in that dtype and
    reports its own values, again in float64. Optional beside these: `train`, `layer_vjp` and `compilation`, below, and
    `arithmetic`, what its numbers go through (`reference.arithmetic`): an engine is held to what it declares.
    """

    name: str

    def supports(self, case: Case) -> bool | str:
        """True, or the reason why this engine cannot compute the Case."""
        ...

    def trace(self, case: Case) -> Trace:
        """One forward pass and one call of the engine's autodiff through the whole network."""
        ...


class Trainer(Protocol):
    """An engine that trains. One without `trains` is asked for gradient descent by (2a) and (2b) alone."""

    def train(self, case: Case, plan: Plan) -> Iterator[Step]:
        """The steps of the plan from the Case's parameters; the Case's batch is the whole training set."""
        ...

    def trains(self, plan: Plan) -> bool | str:
        """True, or the reason why this engine has no such optimiser, schedule or clipping."""
        ...


class LayerVjp(Protocol):
    """An engine that differentiates one layer by itself."""

    def layer_vjp(self, case: Case, layer: int, z_prev: Array, cotangent: Array) -> tuple[Array, Array, Array]:
        """The cotangent (N, n^l) of z^l put through ∂z^l/∂W^l, ∂z^l/∂b^l and ∂z^l/∂z^{l-1}.

        The layer is z^{l-1} -> W^l f(z^{l-1}) + b^l with f the activation of layer l-1, the identity for layer 0.
        """
        ...


class Compiler(Protocol):
    """An engine that compiles: `compilation` tells the seconds spent and the programs made until now."""

    def compilation(self) -> tuple[float, int]:
        """Seconds and programs."""
        ...


def compilation(adapter: Adapter) -> tuple[float, int]:
    """The seconds and programs that an engine has compiled until now; 0 where it does not say."""
    return cast(Compiler, adapter).compilation() if hasattr(adapter, "compilation") else (0.0, 0)


def load(spec: str, device: str = "cpu") -> Adapter:
    """The adapter called `spec`: an engine's name, `path/to/file.py:ClassName` or `package.module:ClassName`.

    Raises AdapterError for a name that is unknown, a file that does not import, a class that cannot be made or lacks
    the contract's members, and a device that is not there.
    """
    where, separator, class_name = ENGINES.get(spec, spec).rpartition(":")
    if not separator:
        raise AdapterError(
            f"engine {spec!r} is unknown: choose from {', '.join(ENGINES)}, or give path/to/file.py:ClassName"
        )
    require_floors(spec, where)
    module = import_module(where)
    if not hasattr(module, class_name):
        raise AdapterError(f"adapter {spec!r}: {where} has no class {class_name!r}")
    try:
        adapter = getattr(module, class_name)() if device == "cpu" else getattr(module, class_name)(device=device)
    except AdapterError:
        raise
    except FAILURES as error:
        raise AdapterError(f"adapter {spec!r} cannot be made: {describe(error)}") from error
    for member in ("name", "supports", "trace"):
        if not hasattr(adapter, member):
            raise AdapterError(f"adapter {spec!r} has no {member!r}: it should have name, supports and trace")
    if not isinstance(adapter.name, str) or not adapter.name.isprintable() or not adapter.name:
        raise AdapterError(f"adapter {spec!r} has the name {adapter.name!r:.60}, but should have one of printable text")
    arithmetic_of(adapter, device)
    return cast(Adapter, adapter)


def require_floors(spec: str, where: str) -> None:
    """Raise AdapterError where a framework is older than an engine of the suite needs."""
    for package, floor in FLOORS.get(where.rpartition(".")[0], {}).items():
        try:
            version = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue  # importing it says so
        if Version(version) < Version(floor):
            raise AdapterError(f"engine {spec!r} needs {package}>={floor}, but {package} {version} is installed")


def device_of(adapter: Adapter) -> str:
    """Where an adapter computes: "cpu" or "cuda:0", say; the CPU where it does not say."""
    return str(getattr(adapter, "device", "cpu"))


def arithmetic_of(adapter: Adapter, device: str = "cpu") -> Arithmetic:
    """What an adapter declares of its arithmetic, as `arithmetic`: an Arithmetic, or a dict or object with its fields.

    One that declares nothing is allowed the widest, on a GPU with the least accurate functions of either device.
    Raises AdapterError for a field that there is not, or a value that it may not have.
    """
    widest = Arithmetic(accuracy=None if device == "cpu" else ANY_ON_GPU)
    try:
        declared = getattr(adapter, "arithmetic", None)
        return widest if declared is None else understood(declared, widest)
    except ValueError as error:
        raise AdapterError(f"the arithmetic of adapter {adapter.name!r} has {error}") from error
    except FAILURES as error:
        raise AdapterError(f"the arithmetic of adapter {adapter.name!r} cannot be read: {describe(error)}") from error


def lacks(adapter: Adapter, case: Case) -> str | None:
    """Why an adapter cannot compute a Case, or None if it can; raises MalformedTrace for any other answer."""
    answer = adapter.supports(case)
    if isinstance(answer, str) and answer:
        return answer
    if isinstance(answer, (bool, np.bool_)) and answer:
        return None
    raise MalformedTrace(f"supports gives {answer!r:.60}, but should give True or a reason")


def received(reported: object) -> Trace:
    """A trace as its adapter gave it, in arrays of our own that nothing else changes.

    Raises MalformedTrace where a field is missing, or holds anything but real numbers.
    """
    fields = {}
    for name in ("loss", "dW", "db", "losses", "z", "a", "delta"):
        if not hasattr(reported, name):
            raise MalformedTrace(f"the trace, {type(reported).__name__}, has no {name}")
        fields[name] = field(name, getattr(reported, name))
    return Trace(**fields)


def field(name: str, value: object) -> Any:
    """A field of a trace: the loss a number, the others arrays, by layer but for the losses."""
    if name == "loss":
        return real(name, value).item() if np.ndim(cast(Any, value)) == 0 and value is not None else value
    if value is None:
        return None
    if name == "losses":
        return real(name, value)
    if not isinstance(value, Mapping):
        raise MalformedTrace(f"{name} is {type(value).__name__}, but should have an array for each layer")
    return {l: real(f"{name} of layer {l}", array) for l, array in value.items()}


def real(name: str, value: object) -> Array:
    """A copy of an array in float64; raises MalformedTrace for anything but real numbers."""
    try:
        array = np.asarray(value)
        if array.dtype.kind in "fiu" or array.dtype.name == "bfloat16":
            return np.array(array, dtype=np.float64)
    except FAILURES as error:
        raise MalformedTrace(f"{name} is not an array: {describe(error)}") from error
    raise MalformedTrace(f"{name} is of type {array.dtype}, but should be of real numbers")


def supported(engine: str, case: Case, activations: Container[str], losses: Container[str]) -> bool | str:
    """True where an engine's tables have the functions of a Case, or which one they lack."""
    for what, name, table in (
        ("hidden activation", case.hidden, activations),
        ("output activation", case.output, activations),
        ("loss", case.loss, losses),
    ):
        if name not in table:
            return f"{engine} has no {what} {name!r}"
    return True


def steps_made(plan: Plan) -> int:
    """The steps that a plan's optimiser has made before; fewer than its schedule has, where it was started anew."""
    return 0 if plan.states is None else int(plan.states["W", 1].get("t", plan.done))


def import_module(where: str) -> ModuleType:
    """A module by its dotted name, or by the path of its file."""
    try:
        if not where.endswith(".py"):
            return importlib.import_module(where)
        if not Path(where).is_file():
            raise AdapterError(f"adapter file {where!r} is not there")
        spec = importlib.util.spec_from_file_location(Path(where).stem, where)
        if spec is None or spec.loader is None:
            raise AdapterError(f"adapter file {where!r} is not a Python file")
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
    except AdapterError:
        raise
    except FAILURES as error:
        raise AdapterError(f"adapter {where!r} does not import: {describe(error)}") from error
    return module


def file_of(spec: str) -> Path | None:
    """The file that the class of an adapter is in; None where its module has no file of its own."""
    where = ENGINES.get(spec, spec).rpartition(":")[0]
    if where.endswith(".py"):
        return Path(where)
    module = importlib.util.find_spec(where)
    return Path(module.origin) if module and module.origin else None


def describe(error: BaseException) -> str:
    """An exception on one line."""
    return " ".join(f"{type(error).__name__}: {error}".split())
