"""A failing Case as files that show it."""

from reports.campaign.failing_cases import save
from tests.reports.campaign.failing import drawn, finding, run

HOSTILE = '<script>"""\n/../x'


def test_names_from_elsewhere_stay_text(tmp_path):
    paths = save(tmp_path, HOSTILE, drawn(), HOSTILE, finding())
    assert all(path.parent == tmp_path for path in paths)
    for path in paths[1:]:
        assert repr(f"{HOSTILE} gave: 0.25") in path.read_text(encoding="utf-8")
        run(path)
