"""Two campaigns compared: what changed is found, both ways, and shown as text, Markdown and HTML."""

import pytest

from reports.gate import compare
from tests.reports import samples
from tests.reports.gate.campaigns import upgraded

HOSTILE = "<script>alert(1)</script>"


def test_two_runs_of_the_same_have_nothing_but_times():
    found = compare.compared(samples.full(), samples.full())
    assert (found.environment, found.cells, found.divergences) == ((), (), ())
    assert found.compared == len(samples.full()["cells"]) + len(samples.full()["training"])
    assert [title for title, _, _ in compare.tables(found)] == ["Seconds"]
    assert {time.ratio for time in found.times} == {1.0}


def test_another_start_is_no_change():
    before, now = samples.full(), samples.full()
    now["environment"] |= {"started": "2027-01-01T00:00:00+00:00", "seconds": 1.0}
    assert compare.compared(before, now).environment == ()


def test_what_an_upgrade_changed_is_found():
    before, now, broken = upgraded()
    found = compare.compared(before, now)
    assert found.environment == (("versions.torch", "2.13.0", "2.14.0"),)
    (change,) = found.cells
    assert (change.what, change.before, change.now, change.cells) == ("verdict", "holds", "breaks", (broken,))
    ratios = {time.engine: time.ratio for time in found.times}
    assert ratios["torch-eager"] == pytest.approx((100.0 + 100.0) / 100.0)
    assert ratios["jax-jit"] == 1.0


def test_it_is_found_the_other_way_round_too():
    before, now, broken = upgraded()
    (change,) = compare.compared(now, before).cells
    assert (change.before, change.now, change.cells) == ("breaks", "holds", (broken,))


def test_a_ratio_that_fell_is_a_change_as_one_that_rose():
    before, now = samples.full(), samples.full()
    (cell,) = [each for each in now["cells"] if each["id"] == before["cells"][-1]["id"]]
    for side, ratio in ((before["cells"][-1], 0.9), (cell, 0.1)):
        side["checked"] = {equation: [ratio, 1, 960] for equation in side["checked"]}
    for first, second, wanted in ((before, now, ("≤ 1", "≤ 0.125")), (now, before, ("≤ 0.125", "≤ 1"))):
        (change,) = compare.compared(first, second).cells
        assert (change.what, change.before, change.now) == ("ratio", *wanted)


def test_cells_that_changed_alike_share_a_line():
    before, now = samples.full(), samples.full()
    alike = [cell for cell in now["cells"] if cell["engine"] == "jax-jit" and cell["dtype"] == "float32"]
    for cell in alike:
        samples.leave_out(cell, "no such function")
    (change,) = compare.compared(before, now).cells
    assert len(change.cells) == len(alike)
    assert change.column == "jax-jit/cpu/float32"
    assert f"{len(alike) - compare.EXAMPLES} more" in change.named


def test_a_divergence_that_is_new_gone_or_another_is_found():
    before, now = samples.full(), samples.full()
    before["divergences"] = [samples.divergence("gone"), samples.divergence("same"), samples.divergence("other")]
    now["divergences"] = [
        samples.divergence("same"),
        samples.divergence("other", "approximation"),
        samples.divergence("new"),
    ]
    found = compare.compared(before, now).divergences
    assert [(change.cells[0], change.before, change.now) for change in found] == [
        ("gone", "20.5 (defect)", "equal"),
        ("new", "equal", "20.5 (defect)"),
        ("other", "20.5 (defect)", "20.5 (approximation)"),
    ]


def test_what_comes_from_elsewhere_is_escaped():
    before, now, _ = upgraded()
    now["environment"]["versions"]["torch"] = HOSTILE
    found = compare.compared(before, now)
    assert HOSTILE not in compare.html(found)
    assert "&lt;script&gt;" in compare.html(found)
    assert "<script" not in compare.markdown(found)
