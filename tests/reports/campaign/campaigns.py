"""Small campaigns for the tests."""

import json

from reference.cases import Combination
from reports.campaign import campaign
from reports.campaign.campaign import CampaignRequest, adapter_infos
from reports.campaign.shares import Share
from reports.results import files
from reports.running.workers import Limits

SEED = 2026
LIMITS, WHOLE = Limits(60, 4096), Share(1, 1)
TANH, RELU = (Combination(hidden, "sigmoid", "huber") for hidden in ("tanh", "relu"))
SOME = (
    TANH,
    RELU,
    Combination("elu", "identity", "half_squared_error"),
    Combination("gelu", "log_softmax", "kullback_leibler"),
)


def silent(notice):
    raise AssertionError(f"there is the notice {notice!r}, but should be none")


def request(*specs, combinations=(TANH, RELU), dtypes=("float32",), share=WHOLE, limits=LIMITS, training=False):
    by_spec = dict.fromkeys(specs, combinations)
    return CampaignRequest(by_spec, "cpu", dtypes, 1, 1, SEED, training, False, share, limits)


def measured(folder, of, workers=2, names=None, tell=silent):
    folder.mkdir(exist_ok=True)
    if names is None:
        infos = adapter_infos(of.combinations, "cpu", of.limits, workers)
        names = {spec: adapter.name for spec, adapter in infos.items()}
    return campaign.measure(of, names, workers, folder, lambda what: None, tell)


def keys_in(path):
    """The keys of the whole lines of a journal."""
    lines = path.read_bytes().split(b"\n")[:-1] if path.exists() else []
    return [tuple(json.loads(line)["key"]) for line in lines[1:]]


def aside_from_time(found):
    """The text of what a campaign measured, without what differs from run to run."""
    cells, runs = (
        [{key: value for key, value in record.items() if key not in ("seconds", "spent")} for record in found[part]]
        for part in ("cells", "training")
    )
    return files.dump({"cells": cells, "training": runs, "divergences": found["divergences"]})
