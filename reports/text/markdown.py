"""Markdown that shows text as it is."""

import re
from collections.abc import Iterable, Sequence


def cell_text(text: str) -> str:
    """Text that Markdown and HTML show as it is, in a table too."""
    return re.sub(r"([\\`*_{}\[\]()#+!|~<>&])", r"\\\1", " ".join(text.split())).replace("\\<", "&lt;")


def markdown_table(headings: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    """The lines of a table; its headings are the project's own and stand as they are."""
    lines = [f"| {' | '.join(map(cell_text, row))} |" for row in rows]
    return [f"| {' | '.join(headings)} |", f"|{' --- |' * len(headings)}", *lines]
