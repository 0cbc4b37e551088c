"""The command line: its verbs, its help, and one line for a call that it does not understand."""

import subprocess
import sys

import pytest

from adapters.contract import ENGINES
from reference.rounding import DTYPES
from reports import __main__
from reports.results import files
from tests.reports import samples
from tests.reports.commands.calls import SMALL, refused


def verbs(*called):
    """The parsers of the verbs, by name."""
    (verbs,) = (action for action in __main__.parser(*called)._actions if action.dest == "verb")
    return verbs.choices


@pytest.mark.parametrize("arguments", [[], ["nonsense"], ["audit", "--nonsense"], ["audit", "--cases"]], ids=str)
def test_a_call_that_is_none(call, out, arguments):
    refused(call, out, *arguments)


def test_help_says_what_there_is(call):
    status, text, _ = call("audit", "--help")
    assert status == 0
    flat = " ".join(text.split())
    for part in (f"of {', '.join(ENGINES)} (default: all, or none beside --adapter)", ", ".join(DTYPES)):
        assert flat.count(part) == 1, f"help has {part!r} {flat.count(part)} times, but should have it once"
    assert "numpyof" not in flat


def test_every_verb_has_help(call):
    for verb in __main__.VERBS:
        status, text, _ = call(verb, "--help")
        assert status == 0, f"the exit status of {verb} --help is {status}, but should be 0"
        assert "--out" in text


OPTIONS = [
    pytest.param(action, id=f"{verb} {(*action.option_strings, action.dest)[0]}")
    for verb, choice in verbs().items()
    for action in choice._actions
    if action.dest != "help"
]


@pytest.mark.parametrize("action", OPTIONS)
def test_every_option_says_what_it_is_and_its_default(action):
    assert action.help
    if action.option_strings or action.nargs == "?":
        assert "default: " in action.help, f"the help of {action.dest} is {action.help!r}, but should name the default"


def test_only_the_called_verb_has_options():
    assert [verb for verb, choice in verbs(["merge"]).items() if len(choice._actions) > 1] == ["merge"]


# --- what is imported

HEAVY = {"torch", "jax", "optax", "matplotlib", "sklearn", "flint"}


def loaded(code, *words):
    """The heavy packages that are loaded after some code, in a process of its own."""
    code += f"\nprint(*(name for name in {sorted(HEAVY)} if name in sys.modules))"
    done = subprocess.run(
        [sys.executable, "-c", f"import sys\n{code}", *words], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return set(done.stdout.splitlines()[-1].split())


RUN = """
from reports.__main__ import main
try:
    status = main(sys.argv[1:])
except SystemExit as error:
    status = error.code
assert status == 0, status
"""


@pytest.mark.parametrize("words", [("--help",), ("gate", "--help"), ("sweep", "--help"), ("faults", "--help")], ids=str)
def test_help_loads_nothing_heavy(words):
    assert loaded(RUN, *words) == set()


def test_the_gate_and_a_comparison_load_nothing_heavy(tmp_path):
    path = tmp_path / "results.json"
    path.write_text(files.dump(samples.small()), encoding="utf-8")
    gate = "gate", str(path), "--baseline", str(tmp_path / "baseline.jsonl")
    assert loaded(RUN, *gate, "--update") == set()
    assert loaded(RUN, *gate) == set()
    assert loaded(RUN, "compare", str(path), str(path), "--out", str(tmp_path)) == set()


def test_waivers_are_read_without_numpy():
    code = "from reports.gate import compare, waivers\nwaivers.read(waivers.PATH)\nassert 'numpy' not in sys.modules"
    assert loaded(code) == set()


# --- the command itself


def test_python_m_reports(tmp_path):
    def run(*arguments):
        done = subprocess.run(
            [sys.executable, "-m", "reports", *map(str, arguments)], capture_output=True, text=True, check=False
        )
        return done.returncode, done.stdout, done.stderr

    status, text, err = run("audit", *SMALL, "--dtypes", "float32", "--workers", "2", "--out", tmp_path)
    assert (status, err) == (0, "")
    assert "3 cells" in text
    assert "2 workers" in text
    status, _, err = run("audit", "--engines", "tensorflow")
    assert status == 2
    assert len(err.splitlines()) == 1
    assert "'tensorflow'" in err
