"""What the tests of the command line share: a folder with results in it, and an adapter in a file."""

import pytest


@pytest.fixture
def out(tmp_path):
    """An output folder with results in it, from before."""
    folder = tmp_path / "out"
    folder.mkdir()
    (folder / "results.json").write_text("before")
    return folder


@pytest.fixture
def adapter(tmp_path):
    """A function that writes an adapter file and gives the option's value."""

    def write(text):
        path = tmp_path / "mine.py"
        path.write_text(text)
        return f"{path}:Mine"

    return write
