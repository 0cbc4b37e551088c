"""Where the time goes, on the page."""

from reports.page import times
from tests.reports.page.reading import read
from tests.reports.samples import full, small


def test_the_time_divides() -> None:
    found = times.times(full())
    assert found is not None
    assert [(s.engine, s.total) for s in found.engines] == [("torch-eager", 100), ("jax-jit", 205)]
    assert (found.total, found.largest, found.compiled, found.workers) == (305, 205, 150, 2)
    reader = read(full())
    bars = [
        a for tag, a in reader.seen if tag == "i" and (a.get("class") or "").startswith("spent-") and a.get("style")
    ]
    widths = ("14.63", "24.39", "9.76", "73.17", "4.88", "19.51", "2.44", "10.00")
    assert [a["style"] for a in bars] == [f"width: {width}%" for width in widths]
    for text in ("5 min 5 s, in 2 processes", "25 min, 24,000 programs", "one program timed", "2 min 30 s"):
        assert text in " ".join(reader.text.split())


def test_programs_that_were_used_again_are_counted_where_that_is_known() -> None:
    results = full()
    results["times"]["without_reuse"]["reused"] = 321
    assert "2 min 30 s, 321 programs" in read(results).text


def test_times_may_lack_parts() -> None:
    told = {"seconds": {"mine": {"audit": "NaN", "idle": 2.0}, "none": {}}, "workers": 1, "without_reuse": None}
    found = times.times({"times": told})
    assert found is not None
    assert found.kinds == ["compile", "engine", "audit", "experiments", "idle"]
    assert [s.total for s in found.engines] == [2, 0]
    reader = read(small() | {"times": told})
    assert "Compilation without reuse" not in reader.text
    assert "processes" not in reader.text
