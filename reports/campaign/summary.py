"""The summary of a campaign, which the terminal and the page print."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from reports.campaign.ledger import Cause, LedgerRow, causes, ledger
from reports.campaign.sentence import sentence
from reports.campaign.standing import Check, Column, Item, columns, items, worst_check
from reports.results.schema import Results
from reports.results.verdicts import Verdict


@dataclass(frozen=True)
class ColumnSummary:
    """One engine and dtype: cells and training runs by how they stand, numbers compared, the worst check, seconds.

    The worst check, beside its equation, leaves out breaks that a listed divergence explains; None without any check.
    """

    engine: str
    dtype: str
    counts: Counter[Verdict]
    elements: int
    worst: tuple[str, Check] | None
    seconds: float


@dataclass(frozen=True)
class CampaignSummary:
    """A campaign's cells and training runs, each with how it stands, and what follows from them.

    What takes time on a whole campaign, such as the ledger, is computed where it is asked for, and once.
    """

    items: tuple[Item, ...]

    @cached_property
    def counts(self) -> Counter[Verdict]:
        """Cells and training runs by how they stand."""
        return Counter(item.stands for item in self.items)

    @cached_property
    def columns(self) -> tuple[ColumnSummary, ...]:
        """Each engine and dtype, engines in the order in which they appear."""
        by_column: dict[Column, list[Item]] = {column: [] for column in columns(self.items)}
        for item in self.items:
            by_column[item.column].append(item)
        return tuple(column_summary(column, of_column) for column, of_column in by_column.items())

    @cached_property
    def breaks(self) -> tuple[Cause, ...]:
        """The causes of what breaks and no listed divergence explains, the most informative first."""
        return tuple(causes(self.items))

    @cached_property
    def explained(self) -> tuple[Cause, ...]:
        """The causes of what breaks where a listed divergence explains it."""
        return tuple(causes(self.items, Verdict.EXPLAINED))

    @cached_property
    def ledger(self) -> tuple[LedgerRow, ...]:
        """A row for each equation."""
        return tuple(ledger(self.items))

    @cached_property
    def sentence(self) -> str:
        """The verdict in a sentence."""
        return sentence(self.items)

    @property
    def holds(self) -> bool:
        """Whether something holds, and everything that breaks is explained by a listed divergence."""
        return self.counts[Verdict.HOLDS] > 0 and self.counts[Verdict.BREAKS] == 0


def summarise(results: Results) -> CampaignSummary:
    """The summary of the campaign in results."""
    return CampaignSummary(tuple(items(results)))


def column_summary(column: Column, items: Sequence[Item]) -> ColumnSummary:
    """The summary of the cells and training runs of one engine and dtype."""
    return ColumnSummary(
        *column,
        counts=Counter(item.stands for item in items),
        elements=sum(item.record["elements"] for item in items),
        worst=worst_check(items),
        seconds=sum(item.record["seconds"] for item in items),
    )
