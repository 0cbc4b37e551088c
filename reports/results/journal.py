"""A journal: what a long campaign has finished, a line each, so that one that was killed goes on where it was.

Append-only. The first line says what the others depend on. A line is one call of the system: a process that is killed
leaves at most the last line torn, and lines of several processes do not mix.
"""

import hashlib
import json
import os
from collections.abc import Callable, Iterable
from functools import cache
from pathlib import Path
from typing import Any

from reference.accuracy import RECORDED
from reports.results.environment import PACKAGES, processor, version
from reports.results.files import ResultsError, jsonable, write

Record = dict[str, Any]

ROOT = Path(__file__).parents[1]


@cache
def source(*packages: str) -> str:
    """A digest of the code that decides what is found: a journal of other code is another campaign's."""
    files = [file for package in packages for file in sorted((ROOT / package).glob("*.py"))]
    return digest([*files, *RECORDED.values()])


def digest(files: Iterable[Path]) -> str:
    """Of the files' bytes."""
    made = hashlib.sha256()
    for file in files:
        made.update(file.read_bytes())
    return made.hexdigest()[:16]


def measured_with() -> Record:
    """The versions and the processor that numbers depend on."""
    return {"versions": {name: version(name) for name in PACKAGES}, "processor": processor()}


def append(path: Path, record: Record) -> None:
    """Add one line; raises ResultsError where there is no room for it, and takes back the part that was written."""
    line = line_of(record)
    try:
        file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
        try:
            if (written := os.write(file, line)) < len(line):
                os.ftruncate(file, os.fstat(file).st_size - written)
                raise OSError(28, "No space left on device")
        finally:
            os.close(file)
    except OSError as error:
        raise ResultsError(f"journal {str(path)!r} cannot be written: {error.strerror}") from error


def line_of(record: Record) -> bytes:
    return (json.dumps(jsonable(record), allow_nan=False, ensure_ascii=False) + "\n").encode()


def opened(path: Path, first: Record, tell: Callable[[str], None]) -> list[Record]:
    """The records of a journal, begun if it is not there; a last line that is torn is dropped, with a notice.

    Raises ResultsError for a journal of something else, or one with an unreadable line before its last.
    """
    if not path.is_file() or path.stat().st_size == 0:
        write(path, line_of(first).decode())
        return []
    found, *rest = read(path, tell)
    for name in dict.fromkeys((*first, *found)):
        if found.get(name) != first.get(name):
            raise ResultsError(
                f"journal {str(path)!r} has the {name} {found.get(name)!r}, but should have {first.get(name)!r}: "
                "give another folder, or remove it"
            )
    return rest


def read(path: Path, tell: Callable[[str], None]) -> list[Record]:
    """The lines of a journal; a last one that is torn is cut off, with a notice."""
    try:
        lines = path.read_bytes().splitlines(keepends=True)
    except OSError as error:
        raise ResultsError(f"journal {str(path)!r} cannot be read: {error.strerror}") from error
    records = []
    for i, line in enumerate(lines):
        try:
            records.append(parsed(line))
        except ValueError as error:
            if i < len(lines) - 1 or i == 0:  # the first is written whole or not at all
                raise ResultsError(f"journal {str(path)!r}: line {i + 1} is unreadable: {error}") from error
            os.truncate(path, sum(map(len, lines[:-1])))
            tell(f"journal {str(path)!r}: its last line, {i + 1}, is torn and dropped")
    return records


def parsed(line: bytes) -> Record:
    """One line; raises ValueError for one that is torn."""
    if not line.endswith(b"\n"):
        raise ValueError("it does not end")
    record = json.loads(line)
    if not isinstance(record, dict):
        raise ValueError(f"it is {type(record).__name__}, but should be an object")
    return record
