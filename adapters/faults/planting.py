"""Engines with a fault in them."""

import importlib

from adapters.contract import Adapter
from adapters.faults.fault import Fault

PLANTED = {
    "numpy": "adapters.faults.in_numpy:PlantedNumpy",
    "torch-eager": "adapters.faults.in_torch:PlantedTorch",
    "jax-jit": "adapters.faults.in_jax:PlantedJax",
    "torch-compile": "adapters.faults.in_torch:PlantedCompiled",
    "jax-whole": "adapters.faults.in_jax:PlantedWhole",
}
"""The engines that faults are planted in: name -> where the class is."""

OF_ONE_PROGRAM = ("torch-compile", "jax-whole")
"""Those that make one program of a network: they take part in float32 alone, with some of the faults."""


def planted(engine: str, fault: Fault) -> Adapter:
    """The engine of that name with one wrong step; it bears the engine's own name."""
    module, _, name = PLANTED[engine].partition(":")
    adapter: Adapter = getattr(importlib.import_module(module), name)(fault)
    return adapter
