"""Small campaigns for the tests."""

import json

from reference.cases import Combination
from reports.campaign import campaign
from reports.campaign.campaign import CampaignRequest
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
    by_spec = dict.fromkeys(specs, dict.fromkeys(dtypes, combinations))
    return CampaignRequest("full", by_spec, "cpu", dtypes, 1, 1, SEED, training, False, share, limits)


def measured(folder, of, workers=1, names=None, tell=silent):
    """What a campaign measures; an engine's name is its spec, where no other names are given."""
    folder.mkdir(exist_ok=True)
    names = names or {spec: spec for spec in of.combinations}
    return campaign.measure(of, names, workers, folder, lambda key, record: None, tell)


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
