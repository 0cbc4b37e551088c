"""The verdict and the exit status of results: cells, training runs, seeded faults and trajectories together."""

from reports.campaign.summary import summarise
from reports.faults import summary as faults_summary
from reports.results.schema import Results
from reports.trajectories import summary as trajectories_summary


def status(results: Results) -> int:
    """The exit status: 0 if something holds, and a listed divergence explains whatever breaks; else 1.

    Seeded faults and trajectories, where they were measured, must hold as well; without a campaign they are enough.
    """
    campaign, faults, trajectories = summarise(results), faults_of(results), trajectories_of(results)
    if (faults and not faults.holds) or (trajectories and not trajectories.holds):
        return 1
    if (faults or trajectories) and not campaign.items:
        return 0 if trajectories or (faults and faults.decided) else 1
    return 0 if campaign.holds else 1


def verdict(results: Results) -> str:
    """The verdict in a sentence; only what was compared, and held, holds.

    Without a campaign it is what the audit catches, and how training went; beside a campaign, whichever of the two does
    not hold comes first.
    """
    campaign, faults, trajectories = summarise(results), faults_of(results), trajectories_of(results)
    if not campaign.items and (faults or trajectories):
        return " ".join(summary.sentence for summary in (faults, trajectories) if summary)
    doubts = []
    if faults and not faults.holds:
        doubts.append("The audit itself falls short, see what it catches.")
    if trajectories and not trajectories.holds:
        doubts.append("Training breaks, see the trajectories.")
    return " ".join([*doubts, campaign.sentence])


def faults_of(results: Results) -> faults_summary.Summary | None:
    """The summary of the seeded faults, where they were measured."""
    chapter = results.get("faults")
    return faults_summary.summarise(chapter) if chapter else None


def trajectories_of(results: Results) -> trajectories_summary.Summary | None:
    """The summary of the trajectories, where they were measured."""
    chapter = results.get("trajectories")
    return trajectories_summary.summarise(chapter) if chapter else None
