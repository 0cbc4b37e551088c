"""What a measurement ran on: versions, processor, BLAS, devices, precision flags."""

import os
import platform
import sys
from collections.abc import Mapping
from importlib import metadata
from pathlib import Path

from threadpoolctl import threadpool_info

from reports.results.records import Environment

PACKAGES = ("numpy", "scipy", "torch", "jax", "jaxlib", "optax", "ml_dtypes", "scikit-learn")


def environment(
    devices: Mapping[str, str], seed: int, started: str, seconds: float, elsewhere: Mapping[str, str] | None = None
) -> Environment:
    """Versions, processor, BLAS and its threads, the device of each adapter, precision flags, seed.

    `elsewhere` are the flags of processes that loaded a framework.
    """
    return {
        "python": platform.python_version(),
        "platform": platform.platform(),
        "processor": processor(),
        "cores": cores(),
        "versions": {name: version(name) for name in PACKAGES},
        "blas": [
            {
                "name": pool.get("internal_api"),
                "version": pool.get("version"),
                "threads": pool.get("num_threads"),
                "architecture": pool.get("architecture"),
                "library": Path(pool["filepath"]).name,
            }
            for pool in threadpool_info()
        ],
        "devices": dict(devices),
        "flags": flags() | dict(elsewhere or {}),
        "seed": seed,
        "started": started,
        "seconds": seconds,
    }


def cores() -> int:
    """The cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def version(package: str) -> str:
    """The installed version, or that there is none."""
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return "not installed"


def processor() -> str:
    """The processor's name, where the system tells it."""
    info = Path("/proc/cpuinfo")
    if info.is_file():
        for line in info.read_text(errors="replace").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def flags() -> dict[str, str]:
    """The settings that decide precision, of the frameworks that are loaded, and the variables that choose kernels."""
    found = {
        name: os.environ[name] for name in ("OPENBLAS_CORETYPE", "OMP_NUM_THREADS", "XLA_FLAGS") if name in os.environ
    }
    if torch := sys.modules.get("torch"):
        found["torch float32 matmul precision"] = torch.get_float32_matmul_precision()
        found["torch cuda.matmul.allow_tf32"] = str(torch.backends.cuda.matmul.allow_tf32)
        found["torch threads"] = str(torch.get_num_threads())
        if torch.cuda.is_available():
            found["GPU"] = torch.cuda.get_device_name()
    if jax := sys.modules.get("jax"):
        for name in ("jax_enable_x64", "jax_default_matmul_precision"):
            found[name] = str(getattr(jax.config, name))
    return found
