"""Every k_f that an allowance uses, with the measurement it comes from."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from reference.accuracy import ON_GPU, k, on, recorded
from reports.results.records import Accuracy


def accuracy(device: str) -> list[Accuracy]:
    """Every k_f that an allowance uses on a device, with the measurement it comes from."""
    worst: dict[tuple[str, str, str, str], Mapping[str, Any]] = {}
    for entry in recorded():
        if entry["engine"] != on(entry["engine"].removesuffix(ON_GPU), device):
            continue
        key = entry["function"], entry["what"], entry["dtype"], entry["engine"]
        if key not in worst or float(entry["roundings"]) > float(worst[key]["roundings"]):
            worst[key] = entry
    return [
        {
            "function": function,
            "what": what,
            "dtype": dtype,
            "engine": engine,
            "k": k(function, what, dtype, engine),
            "measured": entry["roundings"],
            "ulp": entry["ulp"],
            "at": ", ".join(f"{x:.6g}" for x in np.ravel([] if entry["at"] is None else entry["at"])),
            "inputs": entry["inputs"],
        }
        for (function, what, dtype, engine), entry in worst.items()
    ]
