"""The page as a reader of HTML sees it, and the situations in which it is read."""

from collections.abc import Callable
from html.parser import HTMLParser

from reports.page.report import render
from tests.reports.samples import (
    Record,
    Results,
    alarm,
    alone,
    break_first,
    crash,
    displace,
    divergence,
    explain,
    full,
    full_and_broken,
    miss,
    not_run,
    proved,
    sample,
    small,
    with_cell,
)

VOID = ("meta", "br", "col")
PLANTED = "<script>alert(1)</script>"


class Reader(HTMLParser):
    """Collects the text, and complains of a tag that is not closed or not open."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.ids: list[str] = []
        self.links: list[str] = []
        self.loads: list[str] = []
        self.seen: list[tuple[str, dict[str, str | None]]] = []
        self.text = self.html = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.append((tag, dict(attrs)))
        self.ids += [value for name, value in attrs if name == "id" and value]
        self.links += [value for name, value in attrs if tag == "a" and name == "href" and value]
        loading = ("src", "href", "srcset", "action", "data", "poster", "formaction", "ping")
        self.loads += [value for name, value in attrs if tag != "a" and name in loading and value]
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert "svg" in self.open, f"<{tag}/> closes itself only in a drawing, line {self.getpos()[0]}"
        self.handle_starttag(tag, attrs)
        self.open.pop()

    def handle_endtag(self, tag: str) -> None:
        opened = self.open.pop()
        assert opened == tag, f"</{tag}> closes <{opened}>, line {self.getpos()[0]}"

    def handle_data(self, data: str) -> None:
        if self.open[-1:] != ["style"]:
            self.text += data


def read(results: Results) -> Reader:
    """The rendered page, read to its end."""
    reader = Reader()
    reader.html = render(results)
    reader.feed(reader.html)
    reader.close()
    assert reader.open == []
    return reader


def tooltips(reader: Reader, kind: str) -> list[str]:
    """The tooltips of the tiles of one kind."""
    return [a["title"] or "" for tag, a in reader.seen if tag == "td" and a.get("class") == kind and a.get("title")]


SITUATIONS: dict[str, Callable[[], Results]] = {
    "everything holds": sample,
    "every chapter": full,
    "a cell breaks": lambda: break_first(sample(), "14", 2, 1.7),
    "explained and not": full_and_broken,
    "a NaN": lambda: break_first(small(), "z", 1, "NaN"),
    "a crash": lambda: crash(small(), "adapter raised RuntimeError: no kernel"),
    "nothing but explained breaks": lambda: explain(small(2), 2, "kink") | {"divergences": [divergence("kink")]},
    "nothing was run": lambda: not_run(sample()),
    "no cells": lambda: small(0),
    "another engine": lambda: sample(("mine", "theirs")),
    "seeded faults": lambda: small() | {"faults": proved()},
    "seeded faults alone": alone,
    "seeded faults missed": lambda: small() | {"faults": everything_wrong()},
    "seeded faults missed, alone": lambda: alone(everything_wrong()),
    "seeded faults and what breaks": lambda: break_first(small()) | {"faults": proved()},
}


def everything_wrong() -> Record:
    """Measurements of seeded faults with a miss, a draw localised elsewhere, alarms, and an engine that is not run."""
    found = with_cell(miss)
    found["matrix"][2] = displace(found["matrix"][2], ("7a", 2))
    found["not_run"] = ["torch-compile is not run: it wants a C++ compiler"]
    found["alarms"]["alarms"] = [alarm(), alarm(equation=None, layer=None, ratio=None, reason="malformed trace")]
    return found
