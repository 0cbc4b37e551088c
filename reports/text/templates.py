"""Templates of HTML pages."""

from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined


def pages(folder: Path) -> Environment:
    """The environment for the templates of a folder: what is put into them is escaped, and a missing name raises."""
    return Environment(
        loader=FileSystemLoader(folder),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
