"""A failing Case as files: the Case, exact to the last bit, and scripts that show it.

A Case file is data: it is read, checked, and never executed.
"""

import re
from collections.abc import Sequence
from itertools import islice
from pathlib import Path

from adapters.contract import Adapter
from reference.case import Case, to_json
from reference.cases import Combination
from reports.campaign.cells import draw_cases, run_cell
from reports.campaign.designs import NO_EXPERIMENTS
from reports.campaign.scripts import scripts
from reports.campaign.shrinking import shrunk
from reports.results.files import writable, write
from reports.results.records import Cell, FindingRecord
from reports.results.verdicts import Verdict

MOST = 10
"""Failing Cases of a campaign that are written."""


def save(folder: Path, name: str, case: Case, engine: str, finding: FindingRecord) -> list[Path]:
    """Write a failing Case and scripts that show a number of it which is off; gives the paths.

    Characters of the name that do not belong in a file's name become hyphens.
    """
    writable(folder)
    plain = re.sub(r"[^A-Za-z0-9._+-]+", "-", name)
    paths = [folder / f"{plain}.json"]
    write(paths[0], to_json(case))
    for framework, code in scripts(case, paths[0].name, engine, finding).items():
        paths.append(folder / f"{plain}_{framework}.py")
        write(paths[-1], code)
    return paths


# --- the failing cells of a campaign


def save_failures(folder: Path, cells: Sequence[Cell], seed: int) -> list[Path]:
    """Write the first failing Cases of a campaign, in which a number is off that nothing explains; the Cases' paths."""
    unexplained = (cell for cell in cells if cell["verdict"] == Verdict.BREAKS and not cell["explained"])
    failing = ((cell, finding) for cell in unexplained if (finding := first_number_off(cell)) is not None)
    return [
        save(folder, cell["id"], failing_case(cell, finding, seed), cell["engine"], finding)[0]
        for cell, finding in islice(failing, MOST)
    ]


def first_number_off(cell: Cell) -> FindingRecord | None:
    """The first finding of a cell that has a worst element: a number that can be computed again."""
    return next((finding for finding in cell["findings"] if finding["worst"]), None)


def failing_case(cell: Cell, finding: FindingRecord, seed: int) -> Case:
    """The Case of a campaign in which a finding is worst, drawn again."""
    assert finding["worst"] is not None
    index = int(finding["worst"]["case"])
    names = Combination(cell["hidden"], cell["output"], cell["loss"])
    return list(draw_cases(seed, names, cell["dtype"], index + 1))[index]


# --- one Case in one engine


def cell_of_case(adapter: Adapter, device: str, case: Case) -> Cell:
    """The Case audited as a cell of a campaign, without experiments."""
    names = Combination(case.hidden, case.output, case.loss)
    return run_cell(adapter, device, case.dtype, names, [case], 0, NO_EXPERIMENTS)


def save_smallest(folder: Path, name: str, adapter: Adapter, device: str, case: Case) -> list[Path]:
    """Write the smallest Case that still breaks in an engine, and its scripts; the paths."""
    least = shrunk(case, lambda smaller: first_number_off(cell_of_case(adapter, device, smaller)) is not None)
    finding = first_number_off(cell_of_case(adapter, device, least))
    assert finding is not None
    return save(folder, f"{name}-{adapter.name}", least, adapter.name, finding)
