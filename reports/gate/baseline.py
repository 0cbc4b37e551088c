"""The baseline: what a campaign is held to, a line a cell, sorted, so that a change of it can be read.

The first line says in which environment and of which request the lines are. Then come the derivatives that engines take
at kinks, a line for each function in each format, which all its cells share, and the cells. Ratios stand in steps of a
factor 2, so that the rounding of another processor does not churn them.
"""

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from reports.campaign.standing import checks
from reports.results.files import ResultsError, jsonable, number, write
from reports.results.records import ItemRecord
from reports.results.verdicts import BREAKS

Record = dict[str, Any]
Lines = dict[str, Record]
"""The lines by the id of their cell."""

Kinks = dict[str, dict[str, str]]
"""By engine, device, dtype and function: the derivative taken at each kink, to the last digit."""

SCHEMA = "backprop-parity/baseline/1"
PATH = Path("reports/gate/baseline.jsonl")

LOWEST = 2.0**-3
"""The lowest step but 0: below, a ratio says how lucky the rounding was."""

PRECISION = (
    "GPU",
    "OPENBLAS_CORETYPE",
    "XLA_FLAGS",
    "jax_default_matmul_precision",
    "jax_enable_x64",
    "torch cuda.matmul.allow_tf32",
    "torch float32 matmul precision",
)
"""The flags that belong to an environment's class: what else is recorded changes no verdict."""

DECIDE = ("numpy", "scipy", "torch", "jax", "jaxlib", "optax", "ml_dtypes")
"""The packages whose versions do."""


class Baseline(NamedTuple):
    """A baseline: the environment's class, the request, the conventions at kinks, and the lines of cells."""

    environment: Record
    request: Record
    kinks: Kinks
    lines: Lines


# --- from results


def of(results: Mapping[str, Any]) -> Baseline:
    """What a campaign's results are as a baseline."""
    request = dict(results["request"])
    kinks = conventions(results.get("divergences") or [], str(request.get("device")))
    records = sorted([*results["cells"], *results["training"]], key=lambda record: record["id"])
    lines = {record["id"]: line_of(record) for record in records}
    return Baseline(environment_class(results["environment"]), request, kinks, lines)


def environment_class(environment: Mapping[str, Any]) -> Record:
    """Versions, devices and precision flags; of a version not its local part, +cpu or +cu130: the device says that."""
    versions, flags = environment["versions"], environment["flags"]
    return {
        "versions": {name: versions[name].partition("+")[0] for name in DECIDE if name in versions},
        "devices": dict(environment["devices"]),
        "flags": {name: flags[name] for name in PRECISION if name in flags},
    }


def line_of(record: ItemRecord) -> Record:
    """Verdict, and the divergence that explains it; the step of the worst ratio; the elements compared."""
    line: Record = {"id": record["id"], "verdict": record["verdict"]}
    if record["verdict"] == BREAKS and record.get("explained"):
        line["by"] = record["explained"]
    if found := checks(record):
        line["ratio"] = step(max((check.ratio for check in found.values()), key=lambda r: (math.isnan(r), r)))
    return {**line, "elements": record["elements"]}


def step(ratio: float) -> float:
    """The smallest power of 2 that is at least the ratio: LOWEST or more, or 0."""
    if not math.isfinite(ratio) or ratio <= 0:
        return ratio
    return max(LOWEST, 2.0 ** math.ceil(math.log2(ratio)))


def conventions(rows: Sequence[Record], device: str) -> Kinks:
    """The derivative that each engine takes at each kink, of the table of divergences."""
    found: Kinks = {}
    for row in rows:
        for engine, value in row["engines"].items() if row["kink"] else ():
            if row["status"][engine] != "not there":
                key = f"{engine}/{device}/{row['dtype']}/{row['function']}"
                found.setdefault(key, {})[row["id"].rpartition("/")[2]] = value
    return dict(sorted(found.items()))


# --- the file


def write_to(path: Path, baseline: Baseline) -> None:
    """Write a baseline, whole or not at all."""
    first = {"schema": SCHEMA, "environment": baseline.environment, "request": baseline.request}
    kinks = ({"id": key, "kinks": taken} for key, taken in baseline.kinks.items())
    write(path, "".join(f"{text(line)}\n" for line in (first, *kinks, *baseline.lines.values())))


def text(line: Record) -> str:
    """A line as it stands in the file."""
    return json.dumps(jsonable(line), allow_nan=False, ensure_ascii=False, separators=(",", ":"))


def read(path: Path) -> Baseline:
    """The baseline in a file; raises ResultsError where there is none."""
    try:
        first, *rest = path.read_text(encoding="utf-8").splitlines() or [""]
    except FileNotFoundError as error:
        raise ResultsError(f"baseline {str(path)!r} is not there: make it with --update") from error
    except (OSError, UnicodeDecodeError) as error:
        raise ResultsError(f"baseline {str(path)!r} cannot be read: {error}") from error
    header = parsed(path, 1, first)
    if header.get("schema") != SCHEMA:
        raise ResultsError(
            f"baseline {str(path)!r} has the schema {header.get('schema')!r}, but should have {SCHEMA!r}"
        )
    if not all(isinstance(header.get(name), dict) for name in ("environment", "request")):
        raise ResultsError(f"baseline {str(path)!r}: line 1 has no environment or no request")
    lines: Lines = {}
    kinks: Kinks = {}
    for i, line in enumerate(rest, 2):
        found = parsed(path, i, line)
        if wrong := malformed(found):
            raise ResultsError(f"baseline {str(path)!r}: line {i}: {wrong}")
        if found["id"] in lines or found["id"] in kinks:
            raise ResultsError(f"baseline {str(path)!r}: line {i}: {found['id']!r} is there twice")
        if "kinks" in found:
            kinks[found["id"]] = found["kinks"]
        else:
            lines[found["id"]] = found | ({"ratio": number(found["ratio"])} if "ratio" in found else {})
    if not lines:
        raise ResultsError(f"baseline {str(path)!r} has no cell")
    return Baseline(header["environment"], header["request"], kinks, lines)


def parsed(path: Path, number: int, line: str) -> Record:
    """One line of the file."""
    try:
        found = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise ResultsError(f"baseline {str(path)!r}: line {number} is no JSON: {error}") from error
    if not isinstance(found, dict):
        raise ResultsError(f"baseline {str(path)!r}: line {number} is no object")
    return found


FIELDS = {"id": str, "verdict": str, "by": str, "ratio": (int, float, str), "elements": int, "kinks": dict}
NEEDED, OF_KINKS = ("id", "verdict", "elements"), ("id", "kinks")


def malformed(line: Record) -> str | None:
    """What is wrong with a line of a cell, or of kinks."""
    needed, allowed = (OF_KINKS, OF_KINKS) if "kinks" in line else (NEEDED, tuple(FIELDS))
    if missing := [name for name in needed if name not in line]:
        return f"it has no {missing[0]}"
    if unknown := [name for name in line if name not in allowed]:
        return f"it has {unknown[0]!r}, but may have {', '.join(allowed)}"
    for name, value in line.items():
        if not isinstance(value, FIELDS[name]) or isinstance(value, bool):  # type: ignore[arg-type]
            return f"its {name} is {value!r:.80}"
    if isinstance(ratio := line.get("ratio"), str) and ratio not in ("NaN", "Infinity"):
        return f"its ratio is {ratio!r:.80}"
    return None
