"""The records of results.json."""

from typing import Any

Record = dict[str, Any]
