"""Options that several verbs share: one line for a value that is not allowed, and exit status 2."""

import pytest

from adapters.contract import ENGINES
from adapters.faults.planting import PLANTED
from reference.activations import ACTIVATIONS
from reference.losses import LOSSES
from reference.rounding import DTYPES
from reports.commands.faults import PARTS
from tests.reports.commands.calls import refused


@pytest.mark.parametrize(
    ("verb", "option", "value", "allowed"),
    [
        ("divergences", "--engines", "tensorflow", tuple(ENGINES)),
        ("divergences", "--dtypes", "float8", DTYPES),
        ("divergences", "--device", "tpu", ("cpu", "gpu")),
        ("sweep", "--engines", "tensorflow", tuple(ENGINES)),
        ("sweep", "--functions", "swish", (*ACTIVATIONS, *LOSSES)),
        ("sweep", "--dtypes", "float8", DTYPES),
        ("sweep", "--device", "tpu", ("cpu", "gpu")),
        ("sweep", "--inputs", "0", ("at least 1",)),
        ("sweep", "--inputs", "many", ("at least 1",)),
        ("sweep", "--drawn", "0", ("at least 1",)),
        ("sweep", "--seed", "-1", ("at least 0",)),
        ("bench", "--rounds", "0", ("at least 1",)),
        ("bench", "--rounds", "few", ("at least 1",)),
        ("faults", "--engines", "tensorflow", tuple(PLANTED)),
        ("faults", "--engines", "", tuple(PLANTED)),
        ("faults", "--dtypes", "float8", DTYPES),
        ("faults", "--only", "matrices", PARTS),
        ("faults", "--seeds", "0", ("at least 1",)),
        ("faults", "--seeds", "few", ("at least 1",)),
        ("faults", "--cases", "0", ("at least 1",)),
        ("faults", "--workers", "0", ("at least 1",)),
        ("faults", "--seed", "-1", ("at least 0",)),
    ],
)
def test_a_value_that_is_not_allowed_of_another_verb(call, out, verb, option, value, allowed):
    err = refused(call, out, verb, f"{option}={value}", "--out", out)
    assert option in err
    for part in (repr(value), *allowed):
        assert part in err, f"the message is {err!r}, but should name {part!r}"


@pytest.mark.parametrize("verb", ["divergences", "sweep", "faults", "bench", "render"])
@pytest.mark.parametrize("option", ["--nonsense", "--out"])
def test_an_option_that_is_none_or_has_no_value(call, out, verb, option):
    refused(call, out, verb, option)


@pytest.mark.parametrize("verb", ["divergences", "sweep", "faults", "bench"])
def test_another_verbs_folder_that_cannot_be_written(call, out, tmp_path, verb):
    file = tmp_path / "file"
    file.write_text("here")
    err = refused(call, out, verb, "--out", file / "folder")
    assert repr(str(file / "folder")) in err


@pytest.mark.parametrize("verb", ["divergences", "sweep"])
def test_a_gpu_that_is_not_there_for_another_verb(call, out, verb):
    import torch

    if torch.cuda.is_available():
        pytest.skip("torch sees a GPU here")
    err = refused(call, out, verb, "--engines", "torch-eager", "--device", "gpu", "--out", out)
    for part in ("'gpu'", "torch-eager", "cpu"):
        assert part in err
