"""Lines on the terminal."""

import io

from rich.console import Console

from reports.text.console import say


def test_a_line_is_printed_as_it_stands():
    console = Console(file=io.StringIO(), width=20)
    line = "[red]a line[/red] that is longer than the console is wide: [/nothing]"
    say(console, line)
    assert console.file.getvalue() == f"{line}\n"
