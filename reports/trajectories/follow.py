"""The loop of every training run: an engine trains, and each of its steps is audited and handed on."""

from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np

from adapters.contract import FAILURES, Adapter
from reference.case import Case, CaseError
from reference.training import Plan, Step
from reports.results.trajectory_records import FirstBreak
from reports.results.verdicts import Verdict
from reports.running.records import verdict_on_error
from reports.running.tally import Tally
from reports.trajectories.steps import AuditedStep, steps, trains


class Followed(NamedTuple):
    """How far a training run came.

    verdict, reason  why it was not run or ended early; None where all steps were made: the tally decides then
    done             the steps that were made
    last             the last of them
    first_break      the first finding that does not hold
    """

    verdict: Verdict | None
    reason: str | None
    done: int
    last: Step | None
    first_break: FirstBreak | None


class Unsupported(Exception):
    """A run that an engine says it cannot make; its message is the reason."""


def follow(
    adapter: Adapter, device: str, case: Case, plan: Plan, tally: Tally, each: Callable[[AuditedStep], None]
) -> Followed:
    """Train an engine by a plan; `each` gets every step, audited. What the engine raises ends the run."""
    done, last, first_break = 0, None, None
    verdict: Verdict | None = None
    reason: str | None = None
    audited_steps = supported_steps(adapter, device, case, plan, tally)
    with np.errstate(all="ignore"):  # what is not finite is a finding, not a warning
        while True:
            at = f"step {plan.done + done}"
            try:
                audited = next(audited_steps, None)
            except Unsupported as error:
                verdict, reason = Verdict.NOT_RUN, str(error)
                break
            except CaseError as error:  # a weight is not a number of the format
                verdict, reason = Verdict.BREAKS, f"{at}: {error}"
                break
            except FAILURES as error:
                verdict, reason = verdict_on_error(error, at)
                break
            if audited is None:
                break
            each(audited)
            done, last, first_break = done + 1, audited.step, first_break or audited.first_break
    return Followed(verdict, reason, done, last, first_break)


def supported_steps(adapter: Adapter, device: str, case: Case, plan: Plan, tally: Tally) -> Iterator[AuditedStep]:
    """The steps of a run; raises Unsupported where the engine cannot make it."""
    if (supported := trains(adapter, case, plan)) is not True:
        raise Unsupported(str(supported))
    yield from steps(adapter, device, case, plan, tally)
