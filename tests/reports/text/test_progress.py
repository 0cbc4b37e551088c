"""A progress bar."""

import io

from rich.console import Console

from reports.text.progress import progress


def test_progress_shows_names_as_they_are():
    console = Console(file=io.StringIO(), width=120, force_terminal=True)
    with progress(console) as bar:
        bar.add_task("mine[bold]/cpu", total=2)
        bar.refresh()
    assert "mine[bold]/cpu" in console.file.getvalue()
