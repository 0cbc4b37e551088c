"""The heat maps of a report: thousands of cells as tiles, which show what tells one function from another.

A tile that breaks shows the worst of its cells. One that holds shows a *typical* ratio: the median over its cells of
the worst ratio in the equations where its functions stand, (a), (9) and (14) for an activation, (8) and (9) for a loss.

The maximum over all equations would not do. z, (6) and (7) are products that are rounded once when they are stored: in
float16 and bfloat16 one rounding may use any part of its allowance, and the largest of thousands is 0.99 whatever the
activation is. The share of the cells above 0.9 counts the same roundings. The maximum over (a), (9) and (14) alone is
near ⅔ for three tiles of four, since an allowance is 1.5 times the largest error that was measured of its function;
the median lies between 0.3 and 0.67. The tooltip keeps the worst ratio of all, and where it is.
"""

import math
from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from itertools import chain
from statistics import median
from typing import NamedTuple

from reports.campaign.standing import Check, Item, severity
from reports.results.records import Role
from reports.results.verdicts import Verdict
from reports.text.wording import counted, level, ratio_text, short_text, spaced

DESIGNS = {
    "covering": "this audit has each such pair, and --full every combination of all three",
    "full": "this audit has every combination of all three",
    "quick": "this audit has the functions that most networks are made of",
}
"""What a reader must know of the cells, by the design of the audit."""

RANKS = (Verdict.NOT_RUN, Verdict.HOLDS, Verdict.EXPLAINED, Verdict.BREAKS)
"""Of the cells that share a tile, the one that ranks highest decides how it is marked."""

TELLING = {"hidden": ("a", "9", "14"), "loss": ("8", "9")}
"""The equations in which the functions of a tile stand; those of the products tell no function from another."""

TITLES = {"hidden": "{} → {}", "loss": "{} of {}"}
OTHERS: dict[str, Role] = {"hidden": "loss", "loss": "hidden"}
"""By what a line is of: how a tile on it is called, and what it is taken over."""

MARKS: dict[str, str] = {Verdict.BREAKS: "✕", Verdict.EXPLAINED: "≠"}
KINDS: dict[str, str] = {Verdict.BREAKS: "broken", Verdict.EXPLAINED: "listed", Verdict.NOT_RUN: "not-run-tile"}
"""Classes of the page, beside those of `level`."""


@dataclass(frozen=True)
class Tile:
    """A tile: its class, its mark, its ratio, typical or broken, as short as a tile is, and its tooltip."""

    kind: str
    mark: str
    ratio: str
    title: str


ABSENT = Tile("", "", "", "")


@dataclass(frozen=True)
class Line:
    """The tiles of one hidden activation or loss, one an output, and one for all of them."""

    name: str
    tiles: list[Tile]
    all: Tile

    @property
    def lead(self) -> int:
        """How many tiles are absent before the first: room for the name."""
        return next((i for i, tile in enumerate(self.tiles) if tile is not ABSENT), len(self.tiles))


@dataclass(frozen=True)
class HeatMap:
    """One dtype: hidden activation by output over all losses, and loss by output over all hidden activations."""

    dtype: str
    hidden: list[Line]
    losses: list[Line]


@dataclass(frozen=True)
class Engine:
    """The heat maps of one engine, with the same rows and columns in every dtype; open to the reader or folded."""

    name: str
    outputs: list[str]
    maps: list[HeatMap]
    counts: str
    open: bool


class Reading(NamedTuple):
    """A cell and the one of its checks that tells most of it: none where nothing was compared."""

    item: Item
    equation: str
    check: Check | None

    @property
    def rank(self) -> tuple[int, float]:
        """Sorts readings, the worst last."""
        return RANKS.index(self.item.stands), severity(self.check.ratio) if self.check else severity(float("nan"))


def engines(found: Iterable[Item]) -> list[Engine]:
    """The heat maps of each engine that has cells; open are the first and those that have breaks."""
    readings = [reading(item) for item in found if not item.training]
    drawn: list[Engine] = []
    for name in dict.fromkeys(r.item.column[0] for r in readings):
        own = [r for r in readings if r.item.column[0] == name]
        outputs, hidden, losses = _names(own, "output"), _names(own, "hidden"), _names(own, "loss")
        maps = []
        for dtype in dict.fromkeys(r.item.column[1] for r in own):
            of_dtype = [r for r in own if r.item.column[1] == dtype]
            maps.append(
                HeatMap(
                    dtype,
                    _lines(of_dtype, hidden, outputs, "hidden"),
                    _lines(of_dtype, losses, outputs, "loss"),
                )
            )
        stands = Counter(r.item.stands for r in own)
        drawn.append(Engine(name, outputs, maps, counts_text(stands), not drawn or stands[Verdict.BREAKS] > 0))
    return drawn


def _names(readings: Iterable[Reading], key: Role) -> list[str]:
    return list(dict.fromkeys(r.item.record[key] for r in readings))


def _lines(readings: Sequence[Reading], names: Sequence[str], outputs: Sequence[str], key: Role) -> list[Line]:
    """A line for each hidden activation over all losses, or for each loss over all hidden activations."""
    groups: dict[tuple[str, str], list[Reading]] = {}
    for r in readings:
        groups.setdefault((r.item.record[key], r.item.record["output"]), []).append(r)
    other, telling, lines = OTHERS[key], TELLING[key], []
    for name in names:
        own = [groups.get((name, output), []) for output in outputs]
        tiles = [
            tile(group, TITLES[key].format(spaced(name), spaced(output)), (other,), telling)
            for group, output in zip(own, outputs, strict=True)
        ]
        lines.append(Line(name, tiles, tile(list(chain(*own)), spaced(name), ("output", other), telling)))
    return lines


def reading(item: Item) -> Reading:
    """The first check that breaks; of a cell that holds the worst, beside (2a) and (2b).

    One rounding may use all of their allowance, whatever the activation.
    """
    if item.stands == Verdict.NOT_RUN:
        return Reading(item, "", None)
    if item.stands != Verdict.HOLDS:
        finding = item.finding()
        equation = str(finding["equation"]) if finding else ""
        return Reading(item, equation, item.checks.get(equation))
    telling = {e: check for e, check in item.checks.items() if e not in ("2a", "2b")} or item.checks
    equation, check = max(telling.items(), key=lambda pair: pair[1].ratio)
    return Reading(item, equation, check)


def tile(group: Sequence[Reading], name: str, others: Sequence[Role], telling: Collection[str]) -> Tile:
    """A group of cells: marked as the worst of them, with the ratio that it breaks by or the typical one.

    The tooltip says where the worst is, by those other keys of the cell, and how all of them stand.
    """
    if not group:
        return ABSENT
    worst = max(group, key=lambda r: r.rank)
    stands = worst.item.stands
    ratio = worst.check.ratio if worst.check else math.nan
    usual = typical(group, telling) if stands == Verdict.HOLDS else None
    parts = [_worst_text(worst, others) if stands != Verdict.NOT_RUN else _reasons_text(group)]
    if usual is not None:
        ratio = usual
        parts.insert(0, f"typically {ratio_text(usual)}")
    counts = Counter(r.item.stands for r in group)
    title = f"{name}: {'; '.join((*parts, counts_text(counts)))}"
    shown = short_text(ratio) if worst.check else ""
    return Tile(KINDS.get(stands) or level(ratio), MARKS.get(stands, ""), shown, title)


def typical(group: Iterable[Reading], telling: Collection[str]) -> float:
    """The median over the cells that hold of the worst ratio in the telling equations.

    Of an engine that gives nothing but gradients, which has none of those, it is over what was checked.
    """
    ratios = []
    for r in group:
        if r.item.stands == Verdict.HOLDS:
            own = [check.ratio for equation, check in r.item.checks.items() if equation in telling]
            ratios.append(max(own or [check.ratio for check in r.item.checks.values()]))
    return median(ratios)


def _worst_text(worst: Reading, others: Sequence[Role]) -> str:
    """0.90 in (14), layer 2, hinge."""
    record = worst.item.record
    if not worst.check:
        return str(record["reason"] or "nothing was compared")
    where = ", ".join(spaced(record[key]) for key in others)
    held = "worst " if worst.item.stands == Verdict.HOLDS else ""
    return f"{held}{ratio_text(worst.check.ratio)} in ({worst.equation}), layer {worst.check.layer}, {where}"


def _reasons_text(group: Iterable[Reading]) -> str:
    """The most frequent reason for not running, and how many others there are."""
    reasons = Counter(str(r.item.record["reason"] or "no reason was given") for r in group)
    more = f", and {counted(len(reasons) - 1, 'other reason')}" if len(reasons) > 1 else ""
    return f"{reasons.most_common(1)[0][0]}{more}"


def counts_text(counts: Counter[Verdict]) -> str:
    """9 cells hold; or of several kinds, 9 cells: 7 hold, 1 breaks, 1 not run."""
    total = counts.total()
    kinds = (
        (Verdict.HOLDS, "holds" if counts[Verdict.HOLDS] == 1 else "hold"),
        (Verdict.BREAKS, "breaks" if counts[Verdict.BREAKS] == 1 else "break"),
        (Verdict.EXPLAINED, "breaks as listed" if counts[Verdict.EXPLAINED] == 1 else "break as listed"),
        (Verdict.NOT_RUN, "not run"),
    )
    parts = [(counts[stands], verb) for stands, verb in kinds if counts[stands]]
    if len(parts) == 1:
        return f"{counted(total, 'cell')} {parts[0][1]}"
    return f"{counted(total, 'cell')}: {', '.join(f'{n:,} {verb}' for n, verb in parts)}"
