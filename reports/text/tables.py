"""Tables of a terminal."""

from collections.abc import Sequence

from rich import box
from rich.table import Table


def grid(title: str, words: Sequence[str], numbers: Sequence[str], caption: str | None = None) -> Table:
    """A table whose last columns are numbers."""
    table = Table(
        title=title,
        title_style="dim",
        caption=caption,
        caption_style="dim",
        box=box.SIMPLE,
        padding=(0, 0),
    )
    for word in words:
        table.add_column(word, no_wrap=True, vertical="bottom")
    for heading in numbers:
        table.add_column(heading, justify="right", no_wrap=True)
    return table
