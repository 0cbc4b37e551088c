"""The verdict and the exit status of results: cells, training runs, seeded faults and trajectories together."""

from dataclasses import dataclass

from reports.campaign.summary import CampaignSummary
from reports.campaign.summary import summarise as summarise_campaign
from reports.faults import summary as faults_summary
from reports.results.schema import Results
from reports.trajectories import summary as trajectories_summary


@dataclass(frozen=True)
class WholeSummary:
    """The summaries of the campaign and of the chapters measured apart from it, None where one was not measured."""

    campaign: CampaignSummary
    faults: faults_summary.Summary | None
    trajectories: trajectories_summary.Summary | None

    @property
    def status(self) -> int:
        """The exit status: 0 if something holds, and a listed divergence explains whatever breaks; else 1.

        Seeded faults and trajectories, where they were measured, must hold as well; without a campaign they are enough.
        """
        faults, trajectories = self.faults, self.trajectories
        if (faults and not faults.holds) or (trajectories and not trajectories.holds):
            return 1
        if (faults or trajectories) and not self.campaign.items:
            return 0 if trajectories or (faults and faults.decided) else 1
        return 0 if self.campaign.holds else 1

    @property
    def sentence(self) -> str:
        """The verdict in a sentence; only what was compared, and held, holds.

        Without a campaign it is what the audit catches, and how training went; beside a campaign, whichever of the two
        does not hold comes first.
        """
        faults, trajectories = self.faults, self.trajectories
        if not self.campaign.items and (faults or trajectories):
            return " ".join(summary.sentence for summary in (faults, trajectories) if summary)
        doubts = []
        if faults and not faults.holds:
            doubts.append("The audit itself falls short, see what it catches.")
        if trajectories and not trajectories.holds:
            doubts.append("Training breaks, see the trajectories.")
        return " ".join([*doubts, self.campaign.sentence])


def summarise(results: Results) -> WholeSummary:
    """The summary of everything in results: how each cell stands is worked out once."""
    faults, trajectories = results.get("faults"), results.get("trajectories")
    return WholeSummary(
        summarise_campaign(results),
        faults_summary.summarise(faults) if faults else None,
        trajectories_summary.summarise(trajectories) if trajectories else None,
    )
