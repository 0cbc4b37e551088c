"""`compare`: what it writes and prints, and one line for what cannot be compared."""

from reports import __main__
from reports.results.files import dump
from tests.reports.gate.campaigns import upgraded


def test_the_command_writes_text_markdown_and_a_page(tmp_path, capsys):
    before, now, _ = upgraded()
    for name, found in (("old.json", before), ("new.json", now)):
        (tmp_path / name).write_text(dump(found), encoding="utf-8")
    files = [str(tmp_path / name) for name in ("old.json", "new.json")]
    assert __main__.main(["compare", *files, "--out", str(tmp_path)]) == 0
    out = capsys.readouterr().out
    for text in (out, (tmp_path / "compare.md").read_text("utf-8"), (tmp_path / "compare.html").read_text("utf-8")):
        assert "versions.torch" in text
        assert "changed: 1 cell, " in text
        assert "breaks" in text


def test_what_are_no_results_is_one_line(tmp_path, capsys):
    path = tmp_path / "old.json"
    path.write_text("{}", encoding="utf-8")
    assert __main__.main(["compare", str(path), str(path), "--out", str(tmp_path)]) == 2
    assert len(capsys.readouterr().err.splitlines()) == 1
