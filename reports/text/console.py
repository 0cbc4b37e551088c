"""Lines on the terminal as they stand: without markup, highlighting or wrapping."""

from rich.console import Console


def say(console: Console, line: object, style: str | None = None) -> None:
    """Print a line."""
    console.print(str(line), style=style, highlight=False, markup=False, soft_wrap=True)
