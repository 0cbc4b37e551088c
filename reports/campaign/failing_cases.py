"""A failing Case as files: the Case, exact to the last bit, and scripts that show it.

A Case file is data: it is read, checked, and never executed.
"""

import re
from collections.abc import Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

from adapters.contract import Adapter
from reference.case import Case, to_json
from reference.cases import Combination
from reports.campaign.cells import draw, run_cell
from reports.campaign.scripts import scripts
from reports.campaign.shrinking import smaller
from reports.results.files import writable, write

Record = dict[str, Any]

MOST = 10
"""Failing Cases of a campaign that are written."""


def save(folder: Path, name: str, case: Case, engine: str, finding: Mapping[str, Any]) -> list[Path]:
    """Write a failing Case and its scripts; the paths. What no name of a file should have becomes a hyphen."""
    writable(folder)
    plain = re.sub(r"[^A-Za-z0-9._+-]+", "-", name)
    paths = [folder / f"{plain}.json"]
    write(paths[0], to_json(case))
    for framework, code in scripts(case, paths[0].name, engine, finding).items():
        paths.append(folder / f"{plain}_{framework}.py")
        write(paths[-1], code)
    return paths


# --- the failing cells of a campaign


def save_failures(folder: Path, cells: Sequence[Record], seed: int) -> list[Path]:
    """Write the first failing Cases of a campaign, in which a number is off that nothing explains; the Cases' paths."""
    failing = (
        (cell, finding)
        for cell in cells
        if cell["verdict"] == "breaks" and not cell["explained"] and (finding := off(cell)) is not None
    )
    return [
        save(folder, cell["id"], case_of(cell, finding, seed), cell["engine"], finding)[0]
        for cell, finding in islice(failing, MOST)
    ]


def case_of(cell: Mapping[str, Any], finding: Mapping[str, Any], seed: int) -> Case:
    """The Case of a campaign in which a finding is worst, drawn again."""
    index = int(finding["worst"]["case"])
    names = Combination(cell["hidden"], cell["output"], cell["loss"])
    return list(draw(seed, names, cell["dtype"], index + 1))[index]


# --- one Case in one engine


def audited(adapter: Adapter, device: str, case: Case) -> Record:
    """The Case as a cell of a campaign, without experiments."""
    names = Combination(case.hidden, case.output, case.loss)
    return run_cell(adapter, device, case.dtype, names, [case], 0, thorough=False)


def is_off(cell: Mapping[str, Any]) -> bool:
    """Whether a cell breaks in a number."""
    return off(cell) is not None


def off(cell: Mapping[str, Any]) -> Record | None:
    """The first finding of a cell that is of a number."""
    return next((finding for finding in cell["findings"] if finding["worst"]), None)


def save_smallest(folder: Path, name: str, adapter: Adapter, device: str, case: Case) -> list[Path]:
    """Write the smallest Case that still breaks in an engine, and its scripts; the paths."""
    least = smaller(case, lambda each: is_off(audited(adapter, device, each)))
    finding = off(audited(adapter, device, least))
    assert finding is not None
    return save(folder, f"{name}-{adapter.name}", least, adapter.name, finding)
