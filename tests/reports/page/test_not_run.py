"""What was not run: functions that an engine lacks, and other reasons."""

import pytest

from reports.campaign.standing import items
from reports.page.not_run import NotRun, Reason, not_run
from tests.reports.page.reading import read
from tests.reports.samples import DTYPES, Results, crossed, leave_out, sample, small

MISSING, BETA = "{engine} has no {role} {name!r}", "{engine} has no softplus with another beta than 1"


def of(results: Results) -> NotRun:
    """What was not run of some results."""
    chapter = not_run(items(results))
    assert chapter is not None
    return chapter


def left_out(reason: str = MISSING, **where: str) -> Results:
    """A campaign in which cells are left out: those of an engine or dtype with a function in a role."""
    results = sample(dtypes=DTYPES[:2])
    for record in results["cells"]:
        if all(record[key] == value for key, value in where.items()):
            key = next(key for key in ("hidden", "output", "loss") if key in where)
            role = {"loss": "loss"}.get(key, f"{key} activation")
            leave_out(record, reason.format(engine=record["engine"], role=role, name=record[key]))
    return results


def entries(results: Results) -> dict[str, dict[str, str]]:
    return {function.name: function.entries for function in of(results).functions}


def test_where_everything_was_run_there_is_nothing_to_tell() -> None:
    assert not_run(items(sample())) is None
    assert "What was not run" not in read(sample()).text


def test_a_missing_function_is_a_row_with_an_entry_an_engine() -> None:
    results = left_out(engine="jax-jit", loss="binary_cross_entropy")
    there = {"torch-eager": "there", "jax-jit": "missing", "numpy": "there"}
    assert entries(results) == {"binary_cross_entropy": there}
    (function,) = of(results).functions
    assert function.count == 2 * 7
    assert of(results).reasons == []
    shown = " ".join(read(results).text.split())
    assert "binary cross entropy✓ there missing✓ there14" in shown
    assert "has no loss" not in shown[shown.index("What was not run") :]
    assert "Other reasons" not in shown


@pytest.mark.parametrize(
    ("where", "reason", "entry"),
    [
        ({"output": "gelu"}, MISSING, "missing as output activation"),
        ({"loss": "half_squared_error", "dtype": "float64"}, MISSING, "missing in float64"),
        (
            {"hidden": "softplus"},
            BETA,
            "missing with another beta than 1",
        ),
    ],
)
def test_what_is_missing_in_part_says_where(where: dict[str, str], reason: str, entry: str) -> None:
    results = left_out(reason, engine="torch-eager", **where)
    (name,) = {*where.values()} - {"float64"}
    assert entries(results)[name]["torch-eager"] == entry
    assert entry in read(results).text


def test_an_engine_that_was_not_asked_for_a_function_has_no_entry() -> None:
    results = left_out(engine="jax-jit", loss="binary_cross_entropy")
    results["cells"] = [r for r in results["cells"] if (r["engine"], r["loss"]) != ("numpy", "binary_cross_entropy")]
    assert entries(results)["binary_cross_entropy"]["numpy"] == ""
    assert "not asked" in read(results).text


def test_a_reason_that_names_no_function_of_the_cell_is_another_reason() -> None:
    results = crossed()
    leave_out(results["cells"][0], "mine has no patience with this")
    leave_out(results["cells"][1], "mine has no loss 'another'")
    assert of(results).functions == []
    assert [reason.text for reason in of(results).reasons] == [
        "mine has no patience with this",
        "mine has no loss 'another'",
    ]


def test_the_function_that_left_out_most_comes_first() -> None:
    results = crossed()
    for record in results["cells"][:3]:
        leave_out(record, f"torch-eager has no loss {record['loss']!r}")
    assert [(f.name, f.count) for f in of(results).functions] == [("huber", 2), ("hinge", 1)]


def test_reasons_for_not_running_are_counted_with_their_engines() -> None:
    results = sample()
    for record in (*results["cells"][:3], *results["cells"][84:86]):
        leave_out(record, "no CUDA device")
    leave_out(results["cells"][200], "no <exp>")
    assert of(results).reasons == [
        Reason("no CUDA device", 5, ["torch-eager float32, float64"]),
        Reason("no <exp>", 1, ["jax-jit float32"]),
    ]
    shown = read(results).text
    assert "no CUDA device" in shown
    assert "no <exp>" in shown


def test_of_many_reasons_the_rest_are_counted() -> None:
    results = small(60)
    for i, record in enumerate(results["cells"]):
        leave_out(record, f"reason {i}")
    shown = read(results).text.split("What was not run")[1]
    assert "for 10 other reasons" in shown
    assert "reason 49" in shown
    assert "reason 50" not in shown
