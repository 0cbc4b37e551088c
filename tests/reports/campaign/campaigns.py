"""Small campaigns for the tests."""

import json

from reference.cases import Combination
from reports.campaign import campaign
from reports.campaign.campaign import Request, asked
from reports.campaign.shares import Share
from reports.running.workers import Limits

SEED = 2026
LIMITS, WHOLE = Limits(60, 4096), Share(1, 1)
TANH, RELU = (Combination(hidden, "sigmoid", "huber") for hidden in ("tanh", "relu"))


def silent(notice):
    raise AssertionError(f"{notice!r} is said, but nothing was to be")


def request(*specs, combinations=(TANH, RELU), dtypes=("float32",), share=WHOLE, limits=LIMITS, training=False):
    return Request(dict.fromkeys(specs, combinations), "cpu", dtypes, 1, 1, SEED, training, False, share, limits)


def measured(folder, of, workers=2, names=None, tell=silent):
    folder.mkdir(exist_ok=True)
    names = names or {spec: adapter.name for spec, adapter in asked(of.combinations, "cpu", of.limits, workers).items()}
    return campaign.measure(of, names, workers, folder, lambda what: None, tell)


def keys_in(path):
    """The keys of the whole lines of a journal."""
    lines = path.read_bytes().split(b"\n")[:-1] if path.exists() else []
    return [tuple(json.loads(line)["key"]) for line in lines[1:]]
