"""The verdict and the exit status of results: cells, training runs, seeded faults and trajectories together."""

from reports.campaign.sentence import sentence
from reports.campaign.standing import items
from reports.faults import summary as faults_summary
from reports.results.records import Results
from reports.results.verdicts import Verdict
from reports.trajectories.summary import summarise


def status(results: Results) -> int:
    """The exit status: 0 if something holds, and a listed divergence explains whatever breaks; else 1.

    Seeded faults and trajectories, where they were measured, must hold as well; without a campaign they are enough.
    """
    standings = {item.stands for item in items(results)}
    faults, trajectories = results.get("faults"), results.get("trajectories")
    if (faults and not faults_summary.holds(faults)) or (trajectories and not summarise(trajectories).holds):
        return 1
    if (faults or trajectories) and not standings:
        return 0 if trajectories or (faults and faults_summary.decided(faults)) else 1
    return 0 if Verdict.HOLDS in standings and Verdict.BREAKS not in standings else 1


def verdict(results: Results) -> str:
    """The verdict in a sentence. Only what was compared, and held, is said to hold.

    Without a campaign it is what the audit catches, and how training went; beside a campaign, whichever of the two does
    not hold comes first.
    """
    campaign, faults, trajectories = items(results), results.get("faults"), results.get("trajectories")
    training = summarise(trajectories) if trajectories else None
    if not campaign and (faults or training):
        sentences = [faults_summary.sentence(faults)] if faults else []
        return " ".join([*sentences, *([training.sentence] if training else [])])
    doubts = []
    if faults and not faults_summary.holds(faults):
        doubts.append("The audit itself falls short, see what it catches.")
    if training and not training.holds:
        doubts.append("Training breaks, see the trajectories.")
    return " ".join([*doubts, sentence(campaign)])
