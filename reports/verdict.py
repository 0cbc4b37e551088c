"""The verdict and the exit status of results: cells, training runs, seeded faults and trajectories together."""

from reports.campaign.sentence import sentence
from reports.campaign.standing import items
from reports.faults import summary
from reports.results.records import Results
from reports.results.verdicts import BREAKS, HOLDS
from reports.trajectories import summary as trajectories_summary
from reports.trajectories.summary import holds


def status(results: Results) -> int:
    """The exit status: 0 if something holds, and what breaks is explained by a listed divergence; else 1.

    What was measured beside a campaign, seeded faults and trajectories, must hold as well; it is enough without one.
    """
    standings, proof = {item.stands for item in items(results)}, results.get("faults")
    trajectories = results.get("trajectories")
    if (proof and not summary.holds(proof)) or (trajectories and not holds(trajectories)):
        return 1
    if (proof or trajectories) and not standings:
        return 0 if trajectories or (proof and summary.decided(proof)) else 1
    return 0 if HOLDS in standings and BREAKS not in standings else 1


# --- the verdict


def verdict(results: Results) -> str:
    """What the campaign found, in a sentence. Only what was compared, and held, is said to hold.

    Without a campaign it is what the audit catches, and how training went; beside one, what of these does not hold is
    said first.
    """
    found, proof, trajectories = items(results), results.get("faults"), results.get("trajectories")
    apart = [summary.sentence(proof)] if proof else []
    apart += [trajectories_summary.sentence(trajectories)] if trajectories else []
    if apart and not found:
        return " ".join(apart)
    doubts = ["The audit itself falls short, see what it catches."] if proof and not summary.holds(proof) else []
    doubts += (
        ["Training breaks, see the trajectories."]
        if trajectories and not trajectories_summary.holds(trajectories)
        else []
    )
    return " ".join([*doubts, sentence(found)])
