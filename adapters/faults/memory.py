"""What a fault that remembers takes from elsewhere: the batch before, another layer."""

from collections.abc import Callable
from typing import Any

import numpy as np

from adapters.faults.fault import Fault, Past
from reference.arrays import Array
from reference.audit import opened
from reference.case import Case
from reference.network import trace


def batch_before(case: Case) -> Case:
    """The same network on other samples: features in another order, with the labels of their neighbours."""
    return case.on_batch(np.roll(case.x, 1, axis=1), np.roll(case.y, 1, axis=0))


def remembered(fault: Fault, case: Case, place: Callable[[Array], Any]) -> tuple[Past | None, Any]:
    """What the layer computed for the batch before, and b^{l-1}; nothing for a fault that does not remember.

    The batch before is computed by the reference in the engine's format, and handed over by `place`.
    """
    if not fault.remembers:
        return None, None
    l, earlier = fault.layer, batch_before(case)
    past = trace(earlier, case.dtype)
    z, a, _ = opened(earlier, past)
    return Past(*(place(x) for x in (a[l - 1], z[l], past.dW[l], past.db[l]))), place(case.b[l - 1])
