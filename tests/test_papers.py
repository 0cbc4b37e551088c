"""The documents hold what the code does: links, commands, options, names, figures and examples."""

import argparse
import re
import shlex
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from adapters.contract import ENGINES, arithmetic_of, load, received
from reference.activations import ACTIVATIONS
from reference.audit import audit
from reference.cases import Combination, Shape, draw_case
from reference.losses import LOSSES
from reference.network import trace as reference_trace
from reference.optimisers import OPTIMISERS
from reports.__main__ import VERBS, parser
from reports.campaign.cells import draw_cases, run_cell
from reports.campaign.designs import NO_EXPERIMENTS
from reports.campaign.terminal import cell_lines
from reports.commands.options import SEED
from reports.faults.kill_matrix import PANEL
from reports.gate import waivers
from reports.results.files import jsonable

ROOT = Path(__file__).parents[1]

PAPERS = {
    str(path.relative_to(ROOT)): path.read_text(encoding="utf-8")
    for files in (ROOT.glob("*.md"), *((ROOT / room).rglob("*.md") for room in ("reference", "adapters", "reports")))
    for path in sorted(files)
    if path.parent.name != "build"
}

MOST_WORDS = 700

DATED = ("CHANGELOG.md",)
"""What tells of the past, too: its names need not be there any more."""


def fenced(text):
    """The blocks of code, indented or between fences, as lines."""
    lines = re.findall(r"^(?: {4,})(\S.*)$", text, re.MULTILINE)
    blocks = re.findall(r"^```\w*\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    return [*lines, *(line for block in blocks for line in block.splitlines())]


def spans(text):
    """What stands in backticks within a paragraph, line breaks as spaces."""
    prose = re.sub(r"^```.*?^```$", "", text, flags=re.MULTILINE | re.DOTALL)
    return [" ".join(span.split()) for span in re.findall(r"`([^`]+)`", prose)]


def code(text):
    return [*fenced(text), *spans(text)]


def commands(text):
    """The calls of `python -m reports` in a document, as lists of arguments; those that only name it are none."""
    for line in code(text):
        for part in re.split(r"&&|;", line.partition("  #")[0]):
            words = shlex.split(part) if part.strip().startswith("python -m reports") else []
            if words[3:] not in ([], ["VERB"]):
                yield words[3:]


def sessions():
    """The sessions of noxfile.py: the verb that the options of each go to, or None."""
    source = (ROOT / "noxfile.py").read_text(encoding="utf-8")
    bodies = re.split(r"^def ", source, flags=re.MULTILINE)
    return {
        name: found[1] if (found := re.search(r'"reports", "([a-z]+)", \*session\.posargs', after)) else None
        for before, after in pairwise(bodies)
        if "@nox.session" in before.rsplit("\n\n", 1)[-1]
        for name in [after.partition("(")[0]]
    }


def options_of(verb):
    """The options of a verb, as its parser has them."""
    (verbs,) = (action for action in parser()._actions if isinstance(action, argparse._SubParsersAction))
    actions = verbs.choices[verb]._actions
    return {name for action in actions for name in action.option_strings if name.startswith("--")} - {"--help"}


def section(text, heading):
    """A section of a document, up to the next heading of its rank or above."""
    rank = len(heading) - len(heading.lstrip("#"))
    _, _, after = text.partition(f"\n{heading}\n")
    return re.split(rf"^#{{1,{rank}}} ", after, maxsplit=1, flags=re.MULTILINE)[0]


def slug(heading):
    """The anchor that GitHub gives a heading."""
    plain = re.sub(r"[^\w\- ]", "", heading.strip().lower())
    return plain.replace(" ", "-")


def anchors(text):
    return {slug(heading) for heading in re.findall(r"^#+ (.*)$", text, re.MULTILINE)}


def links(text):
    """The targets of links and pictures, outside of code."""
    prose = re.sub(r"`[^`]*`", "", re.sub(r"^```.*?^```$", "", text, flags=re.MULTILINE | re.DOTALL))
    return re.findall(r"\]\(([^)\s]+)\)", prose)


def example(paper, file):
    """The Python of a document whose first line names the file."""
    found = re.search(rf"^```python\n# {re.escape(file)}\n(.*?)^```", PAPERS[paper], re.MULTILINE | re.DOTALL)
    assert found, f"{paper} has no example {file}"
    return found[1]


# --- the papers


def test_the_papers_are_found():
    assert {"README.md", "CONTRIBUTING.md", "CHANGELOG.md", "reports/README.md", "reports/FINDINGS.md"} <= set(PAPERS)


def test_the_readme_is_short():
    count = len(PAPERS["README.md"].split())
    assert count <= MOST_WORDS, f"README.md has {count} words, but should have at most {MOST_WORDS}"


@pytest.mark.parametrize("paper", PAPERS)
def test_links_lead_somewhere(paper):
    dead = []
    for target in links(PAPERS[paper]):
        if target.startswith("https://"):
            continue
        file, _, anchor = target.partition("#")
        path = (ROOT / paper).parent / file if file else ROOT / paper
        if not path.exists() or (anchor and anchor not in anchors(path.read_text(encoding="utf-8"))):
            dead.append(target)
    assert not dead, f"{paper} links to {', '.join(dead)}, which is not there"


@pytest.mark.parametrize("paper", PAPERS)
def test_lines_are_plain(paper):
    """No trailing space, no tab, and no path of somebody's machine."""
    for line in PAPERS[paper].splitlines():
        assert line == line.rstrip(), f"{paper}: {line!r} ends in a space"
        assert not re.search(r"\t|(^|[\s(`\"])/(home|root|tmp|work|Users)/", line), f"{paper}: {line!r}"


# --- commands


@pytest.mark.parametrize("paper", PAPERS)
def test_commands_parse(paper):
    for words in commands(PAPERS[paper]):
        try:
            parser().parse_args(words)
        except SystemExit:
            pytest.fail(f"{paper}: python -m reports {shlex.join(words)} does not parse")


@pytest.mark.parametrize("paper", PAPERS)
def test_sessions_are_there(paper):
    """A session that is named is one of noxfile.py; its options are those of the verb that it passes them to."""
    known = sessions()
    for line in code(PAPERS[paper]):
        found = re.search(r"\bnox (?:--no-venv )?-s ((?:[a-z]+ ?)+)(?:-- (.*))?$", line.partition("  #")[0].strip())
        if not found:
            continue
        names, given = found[1].split(), found[2]
        assert set(names) <= set(known), f"{paper}: {line}"
        if given and (verb := known[names[-1]]):
            parser().parse_args([verb, *shlex.split(given)])


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_and_option_is_documented(verb):
    assert f"| `{verb}` |" in PAPERS["README.md"], f"README.md does not name {verb}"
    text = section(PAPERS["reports/README.md"], f"### `{verb}`")
    assert text, f"reports/README.md has no section on {verb}"
    named = set(re.findall(r"--[a-z][a-z-]*", text))
    if missing := options_of(verb) - named:
        pytest.fail(f"reports/README.md, {verb}: {', '.join(sorted(missing))} missing")


def test_every_session_is_of_a_verb_or_known():
    assert {"report", "gate", "tests", "lint", "fuzz"} <= set(sessions())
    assert {verb for verb in sessions().values() if verb} <= set(VERBS)


@pytest.mark.parametrize("paper", PAPERS)
def test_options_exist(paper):
    """An option in backticks is one of some verb, or of nox, pytest or git."""
    known = set().union(*map(options_of, VERBS)) | {"--no-venv", "--list", "--minutes", "--hypothesis-seed"}
    for span in spans(PAPERS[paper]):
        for option in re.findall(r"(?<!\S)--[a-z][a-z-]*", span):
            assert option in known, f"{paper}: {option} is not an option"


# --- names

FILE = re.compile(r"[\w.-]+(?:/[\w.-]+)*\.(?:py|toml|jsonl?|md|html|xml|j2|png|yml)|(?:[\w.-]+/)+")

PLACEHOLDERS = {"mine.py", "by_hand.py", "OLD.json", "NEW.json", "first/failures/", "failures/"}
"""Files of an example, and what a command makes: no part of the project."""

SOURCES = "\n".join(path.read_text(encoding="utf-8") for path in sorted((ROOT / "reports").rglob("*.py")))


def is_made(name):
    """Whether a file is one that the suite writes: its name stands in the code of reports/."""
    return name.startswith(("reports/build", ".nox/")) or ("/" not in name and f'"{name}"' in SOURCES)


@pytest.mark.parametrize("paper", [paper for paper in PAPERS if paper not in DATED])
def test_files_exist(paper):
    for span in spans(PAPERS[paper]):
        if FILE.fullmatch(span) and span not in PLACEHOLDERS and not is_made(span):
            there = [folder / span for folder in (ROOT, (ROOT / paper).parent)]
            there += (ROOT / "reference" / span, ROOT / "adapters" / "torch" / span)
            assert any(path.exists() for path in there), f"{paper} names {span}, which is not there"


@pytest.mark.parametrize("paper", [paper for paper in PAPERS if paper not in DATED])
def test_modules_exist(paper):
    """A dotted name of the project is a package, a module, or something that a module defines."""
    for span in spans(PAPERS[paper]):
        if not re.fullmatch(r"(reference|adapters|reports|tests)(\.\w+)+", span):
            continue
        parts = span.split(".")
        lengths = range(len(parts), 0, -1)
        module, rest = next(
            (path, parts[n:])
            for n in lengths
            for path in (ROOT.joinpath(*parts[:n]).with_suffix(".py"), ROOT.joinpath(*parts[:n], "__init__.py"))
            if path.exists()
        )
        source = module.read_text(encoding="utf-8")
        assert not rest or re.search(rf"^(?:def |class )?{rest[0]}\b", source, re.MULTILINE), f"{paper}: {span}"


@pytest.mark.parametrize("paper", PAPERS)
def test_counts_are_those_of_the_tables(paper):
    text = PAPERS[paper]
    counts = {
        r"(\d+) activations\b": len(ACTIVATIONS),
        r"(\d+) losses\b": len(LOSSES),
        r"(\d+) (?:named )?defects\b": len(PANEL),
        r"a name of its own: (\d+) in all": len(OPTIMISERS),
    }
    for pattern, count in counts.items():
        for found in re.findall(pattern, text):
            if paper not in DATED and int(found) != count and not re.search(rf"\| {pattern}", text):
                pytest.fail(f"{paper}: {pattern} says {found}, but there are {count}")


def test_every_engine_function_and_field_is_in_the_tables():
    text = PAPERS["adapters/README.md"]
    for engine in ENGINES:
        assert f"| `{engine}` |" in text
    declared = type(arithmetic_of(load("numpy")))
    for field in declared.__dataclass_fields__:
        assert f"| `{field}` |" in section(text, "### Its arithmetic"), f"adapters/README.md lacks {field}"


# --- examples


def drawn(dtype="float64"):
    names = Combination("tanh", "identity", "half_squared_error")
    return draw_case(np.random.default_rng(7), names, Shape((5, 4, 3), 6), dtype)


def audited(adapter, case):
    return audit(case, received(adapter.trace(case)), arithmetic_of(adapter))


def test_the_adapter_of_the_readme_holds():
    """Completed with a network of which it is the adapter: here, the reference's."""

    def my_network(case):
        t = reference_trace(case)
        return t.loss, t.dW, t.db, t.z, t.a, t.delta

    given = {"my_network": my_network}
    exec(example("README.md", "mine.py"), given)
    adapter, case = given["Mine"](), drawn()
    assert adapter.supports(case) is True
    assert isinstance(adapter.supports(SimpleNamespace(loss="huber")), str)
    findings = audited(adapter, case)
    assert findings
    assert all(finding.holds for finding in findings)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_the_adapter_of_the_contract_holds(tmp_path, dtype):
    (tmp_path / "by_hand.py").write_text(example("adapters/README.md", "by_hand.py"), encoding="utf-8")
    adapter, case = load(f"{tmp_path / 'by_hand.py'}:ByHand"), drawn(dtype)
    assert adapter.supports(case) is True
    findings = audited(adapter, case)
    assert {finding.equation for finding in findings} == {"z", "a", "8", "1", "9", "14", "7a", "7b"}
    assert all(finding.holds for finding in findings)


def test_the_adapter_of_the_contract_is_held_to_the_equations(tmp_path):
    """With (7a) summed instead of averaged, it breaks."""
    wrong = example("adapters/README.md", "by_hand.py").replace("delta[l].T @ a[l - 1] / N", "delta[l].T @ a[l - 1]")
    (tmp_path / "by_hand.py").write_text(wrong, encoding="utf-8")
    findings = audited(load(f"{tmp_path / 'by_hand.py'}:ByHand"), drawn())
    assert {finding.equation for finding in findings if not finding.holds} == {"7a"}


def to_12_digits(text):
    """The text in one line, numbers to 12 digits: what follows may be another processor's."""
    return re.sub(r"(\.\d{12})\d+", r"\1", " ".join(text.split()))


def test_the_first_finding_is_what_the_audit_says():
    names = Combination("identity", "hardsigmoid", "half_squared_error")
    cell = run_cell(
        load("torch-eager"), "cpu", "float64", names, draw_cases(SEED, names, "float64", 1), SEED, NO_EXPERIMENTS
    )
    _, first, *_ = cell_lines(jsonable(cell))
    assert to_12_digits(first) in to_12_digits(PAPERS["README.md"])


def test_the_waiver_parses(tmp_path):
    text = re.search(r"^```toml\n(.*?)^```", PAPERS["reports/gate/README.md"], re.MULTILINE | re.DOTALL)[1]
    (tmp_path / "waivers.toml").write_text(text, encoding="utf-8")
    (waiver,) = waivers.read(tmp_path / "waivers.toml")
    assert waiver.names("torch-eager/cpu/float32/tanh/gelu/huber", "9")
