"""Words and numbers in a sentence: sizes, counts, shares, durations, lists, and what a cell and a finding are of."""

import math
import re
from collections.abc import Sequence

from reports.results.files import number
from reports.results.records import FindingRecord, ItemRecord, Number

# --- words


def numbers_text(numbers: Sequence[int]) -> str:
    """equations (1), (3) and (5)–(14) say; without numbers, the definitions say."""
    if not numbers:
        return "the definitions say"
    return f"equation{'s' if len(numbers) > 1 else ''} {spans(numbers)} {'say' if len(numbers) > 1 else 'says'}"


def spans(numbers: Sequence[int]) -> str:
    """(1), (3) and (5)–(14)."""
    runs: list[list[int]] = []
    for n in numbers:
        if runs and n == runs[-1][-1] + 1:
            runs[-1].append(n)
        else:
            runs.append([n])
    parts: list[str] = []
    for run in runs:
        parts += [f"({run[0]})–({run[-1]})"] if len(run) > 2 else [f"({n})" for n in run]
    return listing(parts)


def equation_text(equation: str) -> str:
    """equation (14); the definition of z."""
    return f"the definition of {equation}" if equation in ("z", "a") else f"equation ({equation})"


def context(record: ItemRecord) -> str:
    """float32, gelu → identity, half_squared_error; of a training run, float32, training on digits."""
    activations = f"{record['hidden']} → {record['output']}, {record['loss']}"
    return f"{record['dtype']}, {'training on ' + dataset(record) if 'curves' in record else activations}"


def dataset(run: ItemRecord) -> str:
    """The last part of a training run's id."""
    return str(run["id"]).rsplit("/", 1)[-1]


def element_text(finding: FindingRecord, training: bool) -> str:
    """The worst element of a finding: case 3 [1, 4], or step 37 [1, 4]."""
    worst = finding["worst"]
    if not worst:
        return "nothing was compared" if not number(finding["elements"]) else "—"
    index = ", ".join(str(i) for i in worst["index"])
    return f"{'step' if training else 'case'} {worst['case']}" + (f" [{index}]" if index else "")


def listing(items: Sequence[str]) -> str:
    """a, b and c."""
    return " and ".join([", ".join(items[:-1]), items[-1]] if len(items) > 1 else items)


def spaced(name: str) -> str:
    """A name from a table as words: half_squared_error is half squared error."""
    return name.replace("_", " ")


def counted(n: int, word: str) -> str:
    """1 cell, 70,000 cells."""
    return f"{n:,} {word}" if n == 1 else f"{n:,} {word}s"


def clipped(reason: str | None, length: int = 160) -> str:
    """The first line of a reason, without its full stop, and cut off at `length`."""
    line = (str(reason or "no reason was given").strip().splitlines() or [""])[0].rstrip(".")
    return line if len(line) <= length else f"{line[: length - 1]}…"


# --- numbers


def size_text(size: float) -> str:
    """Three digits: 0.954, 32.1, 1,230."""
    return f"{float(f'{size:.3g}'):,.0f}" if size >= 100 else f"{size:.3g}"


def ratio_text(ratio: float) -> str:
    """Two digits, and never 1 for a ratio above it: 0.31, 1.03, 380, 2.1e5."""
    if not math.isfinite(ratio):
        return "NaN" if math.isnan(ratio) else "∞"
    if ratio == 0:
        return "0"
    if ratio < 0.01:
        return "<0.01"
    if ratio <= 1:
        return f"{math.floor(ratio * 100) / 100:.2f}" if ratio < 1 else "1.00"
    if ratio < 9.95:
        return f"{math.ceil(ratio * 100) / 100:.2f}" if ratio < 1.1 else f"{ratio:.1f}"
    return f"{ratio:.0f}" if ratio < 9999 else f"{ratio:.1e}".replace("e+0", "e").replace("e+", "e")


def short_text(ratio: float) -> str:
    """A ratio as it fits on a tile: .31, and 0 for less than a hundredth."""
    return "0" if ratio < 0.01 else ratio_text(ratio).removeprefix("0")


def small_text(x: float) -> str:
    """Three digits: 0.0412, 2.31e-07; a dash for an unknown one."""
    return "—" if math.isnan(x) else f"{x:.3g}"


def share_text(x: float) -> str:
    """96.4 %; a dash for an unknown one."""
    return "—" if math.isnan(x) else f"{100 * x:.1f} %"


def duration_text(seconds: float) -> str:
    """0.42 s, 93 s, 41 min 3 s, 2 h 5 min; a dash for an unknown one."""
    if not math.isfinite(seconds):
        return "—"
    if seconds < 10:
        return f"{seconds:.2g} s"
    whole = round(seconds)
    if whole < 120:
        return f"{whole} s"
    minutes, rest = divmod(whole, 60)
    if minutes < 120:
        return f"{minutes} min {rest} s" if rest else f"{minutes} min"
    return f"{minutes // 60:,} h {minutes % 60} min"


def value_text(value: Number | None, sign: str = "") -> str:
    """All the digits of a number, so that observed and expected look different where they are.

    `sign` stands before a number that has none of its own; where it is ±, two digits are enough.
    """
    x = number(value)
    if not math.isfinite(x):
        text = "NaN" if math.isnan(x) else "∞"
    else:
        text = f"{abs(x):.2g}" if sign == "±" else repr(abs(x))
    return f"{'−' if x < 0 else sign}{text}"


def six_digits(text: str) -> str:
    """A text whose numbers are rounded to six digits: a last digit is another kernel's, not another answer."""
    return re.sub(r"-?\d+\.\d+(?:e[-+]?\d+)?", lambda match: f"{float(match[0]):.6g}", text)


def level(ratio: float) -> str:
    """The CSS class of a tile: how many fifths of the allowance are used, or that it is exceeded."""
    if not ratio <= 1:
        return "broken"
    return f"use-{min(4, int(ratio * 5))}"
