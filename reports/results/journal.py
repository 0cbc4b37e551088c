"""A journal: what a long measurement has finished, a line each, so that one that was killed goes on where it was.

Append-only. The first line says what the others depend on. A line is one call of the system: a process that is killed
leaves at most the last line torn, and lines of several processes do not mix.
"""

import ast
import hashlib
import json
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import cache
from importlib.util import resolve_name
from pathlib import Path
from typing import Any, TypedDict

from reports.results.environment import PACKAGES, processor, version
from reports.results.files import ResultsError, jsonable, write

ROOT = Path(__file__).parents[2]
"""The folder in which `reference`, `adapters` and `reports` stand."""

# --- what the numbers depend on


class MeasuredWith(TypedDict):
    """The versions and the processor that numbers depend on."""

    versions: dict[str, str]
    processor: str


def measured_with() -> MeasuredWith:
    """The versions and the processor of this process."""
    return {"versions": {name: version(name) for name in PACKAGES}, "processor": processor()}


@cache
def source(*modules: str) -> str:
    """A digest of the code that decides the numbers of these modules of `reports`, such as "reports.campaign.cells".

    It covers all of `reference` and `adapters`, with what is recorded there, and of `reports` what the modules import,
    directly or not: a page or a terminal is not among it, and may change without a measurement starting anew.
    """
    return digest_below(ROOT, deciding_files(ROOT, modules))


def deciding_files(root: Path, modules: Iterable[str]) -> list[Path]:
    """The files that decide the numbers of modules of `reports`, in order."""
    patterns = (f"{folder}/**/*.{end}" for folder in ("reference", "adapters") for end in ("py", "json"))
    below = {path for pattern in patterns for path in root.glob(pattern)}
    return sorted(below | imported_files(root, modules))


def imported_files(root: Path, modules: Iterable[str]) -> set[Path]:
    """The files of modules of `reports`, and of all that they import of `reports`, within functions too."""
    files: set[Path] = set()
    waiting = list(modules)
    while waiting:
        module = waiting.pop()
        path = file_of(root, module)
        if path is None:
            raise ModuleNotFoundError(f"{module!r} is not a module below {str(root)!r}")
        if path not in files:
            files.add(path)
            waiting += imports_of(root, module, path)
    return files


def imports_of(root: Path, module: str, path: Path) -> Iterator[str]:
    """The modules of `reports` that a file imports, and the packages that a module is in, which are imported first."""
    names = [module.rpartition(".")[0]]
    package = module if path.name == "__init__.py" else names[0]
    for node in ast.walk(ast.parse(path.read_bytes())):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            origin = resolve_name("." * node.level + (node.module or ""), package)
            names += [origin, *(f"{origin}.{alias.name}" for alias in node.names)]  # a submodule, or a name in a module
    return (name for name in names if name.partition(".")[0] == "reports" and file_of(root, name))


def file_of(root: Path, module: str) -> Path | None:
    """The file of a module or package; None where there is none, as for a name in a module."""
    path = root.joinpath(*module.split("."))
    candidates = path.with_name(f"{path.name}.py"), path / "__init__.py"
    return next((file for file in candidates if file.is_file()), None)


def digest_below(root: Path, files: Iterable[Path]) -> str:
    """A digest of files below a folder, by their names and their bytes."""
    digest = hashlib.sha256()
    for file in files:
        content = file.read_bytes()
        digest.update(f"{file.relative_to(root).as_posix()} {len(content)}\n".encode())
        digest.update(content)
    return digest.hexdigest()[:16]


def digest_of(files: Iterable[Path]) -> str:
    """A digest of the bytes of files, wherever they are."""
    digest = hashlib.sha256()
    for file in files:
        digest.update(file.read_bytes())
    return digest.hexdigest()[:16]


# --- lines


def append(path: Path, record: Mapping[str, Any]) -> None:
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


def line_of(record: Mapping[str, Any]) -> bytes:
    """A record as a line of a journal."""
    return (json.dumps(jsonable(record), allow_nan=False, ensure_ascii=False) + "\n").encode()


def opened(path: Path, header: Mapping[str, Any], tell: Callable[[str], None]) -> list[Any]:
    """The records of a journal, begun if it is not there; a last line that is torn is dropped, with a notice.

    Raises ResultsError for a journal with another header, or one with an unreadable line before its last.
    """
    if not path.is_file() or path.stat().st_size == 0:
        write(path, line_of(header).decode())
        return []
    first, *records = read(path, tell)
    for name in dict.fromkeys((*header, *first)):
        if first.get(name) != header.get(name):
            raise ResultsError(
                f"journal {str(path)!r} has the {name} {first.get(name)!r}, but should have {header.get(name)!r}: "
                "give another folder, or remove it"
            )
    return records


def read(path: Path, tell: Callable[[str], None]) -> list[Any]:
    """The lines of a journal, each an object; a last one that is torn is cut off, with a notice."""
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


def parsed(line: bytes) -> Any:
    """The object in a line; raises ValueError for a line that is torn."""
    if not line.endswith(b"\n"):
        raise ValueError("it does not end")
    record = json.loads(line)
    if not isinstance(record, dict):
        raise ValueError(f"it is {type(record).__name__}, but should be an object")
    return record
