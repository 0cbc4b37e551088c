"""The baseline that a campaign is held to: a line for each cell, sorted, so that a person can read a change of it.

The first line has the environment and the request of the campaign. Then come the derivatives that engines take at
kinks, a line for each function in each format, which all its cells share, and the cells. Ratios are rounded up to
powers of 2, so that the rounding of another processor does not change the lines.
"""

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, NotRequired, TypedDict, TypeGuard, cast

from reports.campaign.standing import checks
from reports.results.files import ResultsError, jsonable, number, write
from reports.results.records import Divergence, Environment, ItemRecord, RequestRecord
from reports.results.schema import Results
from reports.results.verdicts import Verdict


class Line(TypedDict):
    """A cell or training run: its verdict, what explains it, the step of its worst ratio, the elements compared."""

    id: str
    verdict: str
    by: NotRequired[str]
    ratio: NotRequired[float]
    elements: int


Lines = dict[str, Line]
"""The lines by the id of their cell."""

Kinks = dict[str, dict[str, str]]
"""By engine, device, dtype and function: the derivative taken at each kink, to the last digit."""


class KinksLine(TypedDict):
    """The derivatives of one function at its kinks, as a line of the file."""

    id: str
    kinks: dict[str, str]


class EnvironmentClass(TypedDict):
    """All of an environment that two campaigns must share to be compared."""

    versions: dict[str, str]
    devices: dict[str, str]
    flags: dict[str, str]


class Header(TypedDict):
    """The first line of the file."""

    schema: str
    environment: EnvironmentClass
    request: RequestRecord


SCHEMA = "backprop-parity/baseline/1"

LOWEST = 2.0**-3
"""The lowest step above 0: a smaller ratio only says how lucky the rounding was."""

PRECISION = (
    "GPU",
    "XLA_FLAGS",
    "jax_default_matmul_precision",
    "jax_enable_x64",
    "torch cuda.matmul.allow_tf32",
    "torch float32 matmul precision",
)
"""The flags that may change a verdict; others do not, such as the kernels that OpenBLAS takes for a processor."""

PACKAGES = ("numpy", "scipy", "torch", "jax", "jaxlib", "optax", "ml_dtypes")
"""The packages whose versions may."""


class Baseline(NamedTuple):
    """A baseline: the environment's class, the request, the derivatives at kinks, and the lines of cells."""

    environment: EnvironmentClass
    request: RequestRecord
    kinks: Kinks
    lines: Lines


# --- from results


def of(results: Results) -> Baseline:
    """The baseline that the results of a campaign make."""
    request = results["request"].copy()
    kinks = conventions(results.get("divergences") or [], str(request.get("device")))
    records = sorted(items_of(results), key=lambda record: record["id"])
    lines = {record["id"]: line_of(record) for record in records}
    return Baseline(environment_class(results["environment"]), request, kinks, lines)


def items_of(results: Results) -> list[ItemRecord]:
    """The cells and training runs of results."""
    return [*results["cells"], *results["training"]]


def environment_class(environment: Environment) -> EnvironmentClass:
    """Versions, devices and precision flags; of a version not its local part, +cpu or +cu130: the device says that."""
    versions, flags = environment["versions"], environment["flags"]
    return {
        "versions": {name: versions[name].partition("+")[0] for name in PACKAGES if name in versions},
        "devices": dict(environment["devices"]),
        "flags": {name: flags[name] for name in PRECISION if name in flags},
    }


def line_of(record: ItemRecord) -> Line:
    """The line of a cell or training run."""
    about: dict[str, str | float] = {"id": record["id"], "verdict": record["verdict"]}
    if record["verdict"] == Verdict.BREAKS and (explained := record["explained"]):
        about["by"] = explained
    if ratios := [check.ratio for check in checks(record).values()]:
        about["ratio"] = step(max(ratios, key=lambda ratio: (math.isnan(ratio), ratio)))
    return cast(Line, {**about, "elements": record["elements"]})


def step(ratio: float) -> float:
    """The smallest power of 2 that is at least the ratio, and at least LOWEST; 0 and what is not finite stay."""
    if not math.isfinite(ratio) or ratio <= 0:
        return ratio
    return max(LOWEST, 2.0 ** math.ceil(math.log2(ratio)))


def conventions(rows: Sequence[Divergence], device: str) -> Kinks:
    """The derivative that each engine takes at each kink, from the table of divergences."""
    kinks: Kinks = {}
    for row in rows:
        for engine, value in row["engines"].items() if row["kink"] else ():
            if row["status"][engine] != "not there":
                key = f"{engine}/{device}/{row['dtype']}/{row['function']}"
                kinks.setdefault(key, {})[row["id"].rpartition("/")[2]] = value
    return dict(sorted(kinks.items()))


# --- the file


def first_line(path: Path) -> str:
    """The first line of a file; raises ResultsError for one that cannot be read."""
    try:
        with path.open(encoding="utf-8") as file:
            return file.readline()
    except (OSError, UnicodeDecodeError) as error:
        raise ResultsError(f"baseline {str(path)!r} cannot be read: {error}") from error


def write_to(path: Path, baseline: Baseline) -> None:
    """Write a baseline, whole or not at all."""
    header: Header = {"schema": SCHEMA, "environment": baseline.environment, "request": baseline.request}
    kinks: list[KinksLine] = [{"id": key, "kinks": taken} for key, taken in baseline.kinks.items()]
    lines: list[Header | KinksLine | Line] = [header, *kinks, *baseline.lines.values()]
    write(path, "".join(f"{text(line)}\n" for line in lines))


def text(line: Header | KinksLine | Line) -> str:
    """A line as it stands in the file."""
    return json.dumps(jsonable(line), allow_nan=False, ensure_ascii=False, separators=(",", ":"))


def read(path: Path) -> Baseline:
    """The baseline in a file; raises ResultsError for a file that holds none."""
    try:
        first, *rest = path.read_text(encoding="utf-8").splitlines() or [""]
    except FileNotFoundError as error:
        raise ResultsError(f"baseline {str(path)!r} is not there: make it with --update") from error
    except (OSError, UnicodeDecodeError) as error:
        raise ResultsError(f"baseline {str(path)!r} cannot be read: {error}") from error
    header = header_of(path, first)
    lines: Lines = {}
    kinks: Kinks = {}
    for i, text in enumerate(rest, 2):
        line = parsed(path, i, text)
        if wrong := malformed(line):
            raise ResultsError(f"baseline {str(path)!r}: line {i}: {wrong}")
        if line["id"] in lines or line["id"] in kinks:
            raise ResultsError(f"baseline {str(path)!r}: line {i}: {line['id']!r} is there twice")
        if of_kinks(line):
            kinks[line["id"]] = line["kinks"]
        else:
            lines[line["id"]] = cast(Line, line | ({"ratio": number(line["ratio"])} if "ratio" in line else {}))
    if not lines:
        raise ResultsError(f"baseline {str(path)!r} has no cell: make it anew with --update")
    return Baseline(header["environment"], header["request"], kinks, lines)


def header_of(path: Path, text: str) -> Header:
    """The first line of the file."""
    header = parsed(path, 1, text)
    if header.get("schema") != SCHEMA:
        raise ResultsError(
            f"baseline {str(path)!r} has the schema {header.get('schema')!r}, but should have {SCHEMA!r}"
        )
    if missing := [name for name in ("environment", "request") if not isinstance(header.get(name), dict)]:
        raise ResultsError(f"baseline {str(path)!r}: line 1 has no {missing[0]}")
    return cast(Header, header)


def parsed(path: Path, number: int, text: str) -> dict[str, Any]:
    """The object in a line of the file, which is not checked yet."""
    try:
        line = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ResultsError(f"baseline {str(path)!r}: line {number} is not JSON: {error}") from error
    if not isinstance(line, dict):
        raise ResultsError(f"baseline {str(path)!r}: line {number} is {line!r:.80}, but should be an object")
    return line


def of_kinks(line: Mapping[str, Any]) -> TypeGuard[KinksLine]:
    """Whether a line is of kinks, and not of a cell."""
    return "kinks" in line


FIELDS: dict[str, type | tuple[type, ...]] = {
    "id": str,
    "verdict": str,
    "by": str,
    "ratio": (int, float, str),
    "elements": int,
    "kinks": dict,
}
NEEDED, OF_KINKS = ("id", "verdict", "elements"), ("id", "kinks")


def malformed(line: Mapping[str, Any]) -> str | None:
    """Why a line is neither of a cell nor of kinks; None for one that is."""
    needed, allowed = (OF_KINKS, OF_KINKS) if of_kinks(line) else (NEEDED, tuple(FIELDS))
    if missing := [name for name in needed if name not in line]:
        return f"it has no {missing[0]}"
    if unknown := [name for name in line if name not in allowed]:
        return f"it has {unknown[0]!r}, but may have {', '.join(allowed)}"
    for name, value in line.items():
        if not isinstance(value, FIELDS[name]) or isinstance(value, bool):
            return f"its {name} is {value!r:.80}"
    if isinstance(ratio := line.get("ratio"), str) and ratio not in ("NaN", "Infinity"):
        return f"its ratio is {ratio!r:.80}, but should be a number, 'NaN' or 'Infinity'"
    return None
