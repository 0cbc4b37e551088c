"""Which file has the baseline of a campaign: there is one for each class of environments and each request."""

import re
from pathlib import Path

from adapters.contract import ENGINES
from reference.rounding import DTYPES
from reports.gate.baseline import Baseline, first_line, header_of

FOLDER = Path("reports/gate/baselines")
"""The baselines of this project."""


def file_for(folder: Path, now: Baseline) -> Path | None:
    """The file in a folder whose environment and request are those of a campaign; None if there is none."""
    for path in sorted(folder.glob("*.jsonl")):
        header = header_of(path, first_line(path))
        if (header["environment"], header["request"]) == (now.environment, now.request):
            return path
    return None


def name_of(now: Baseline) -> str:
    """The file name of a campaign's baseline: its device, versions, and what of its request is not the usual."""
    flags, request = now.environment["flags"], now.request
    versions = [f"{name}-{now.environment['versions'].get(name, 'none')}" for name in ("torch", "jax")]
    parts = [flags.get("GPU", request.get("device", "cpu")), *versions]
    parts += [] if request.get("design") == "covering" else [str(request.get("design"))]
    for asked, usual in ((request.get("engines", []), ENGINES), (request.get("dtypes", []), DTYPES)):
        parts += [] if list(asked) == list(usual) else ["+".join(asked)]
    return re.sub(r"[^\w.+-]+", "-", "-".join(parts)).lower() + ".jsonl"
