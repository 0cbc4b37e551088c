"""`render`: the page, and the exit status of the results."""

import pytest

from reports import verdict
from reports.results import files
from tests.reports import samples
from tests.reports.commands.calls import BROKEN, GOOD, SMALL, refused


def test_results_that_cannot_be_rendered(call, out):
    assert "results.json" in refused(call, out, "render", out / "results.json")
    assert "absent.json" in refused(call, out, "render", out / "absent.json")


def test_render_gives_the_status_of_the_results(call, adapter, tmp_path):
    for name, text, expected in (("good", GOOD, 0), ("bad", BROKEN, 1)):
        folder = tmp_path / name
        arguments = (*SMALL[2:], "--adapter", adapter(text), "--dtypes", "float32")
        assert call("audit", *arguments, "--out", folder)[0] == expected
        status, _, _ = call("render", folder / "results.json")
        assert status == expected
        assert (folder / "report.html").stat().st_size > 0


@pytest.mark.parametrize(("found", "expected"), [(samples.proved(), 0), (samples.with_cell(samples.miss), 1)])
@pytest.mark.parametrize("about", [samples.alone(), samples.small()], ids=["alone", "beside a campaign"])
def test_render_has_the_status_of_seeded_faults(call, tmp_path, about, found, expected):
    (tmp_path / "results.json").write_text(files.dump(about | {"faults": found}), encoding="utf-8")
    status, text, err = call("render", tmp_path / "results.json")
    assert (status, err) == (expected, "")
    assert verdict.summarise(about | {"faults": found}).sentence in text
    assert "What the audit catches" in (tmp_path / "report.html").read_text(encoding="utf-8")
