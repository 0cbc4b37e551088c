"""Every command that a person or CI runs; each only calls `python -m pytest`, `python -m reports` or a linter.

All sessions share one environment, with the exact versions that pyproject.toml pins; `--no-venv` uses the
current Python.
"""

import random
import time
from pathlib import Path

import nox

nox.options.default_venv_backend = "venv"
nox.options.sessions = ["tests", "report"]

shared = {"python": "python"}


@nox.session(reuse_venv=True, tags=["setup"])
def environment(session: nox.Session) -> None:
    """Install the pinned versions into the environment that all sessions share."""
    if session.venv_backend == "none":
        return
    shared["python"] = str(Path(session.bin) / "python")
    session.install(*nox.project.dependency_groups(nox.project.load_toml("pyproject.toml"), "pinned"))


def run(
    session: nox.Session, *arguments: str, success: tuple[int, ...] = (0,), env: dict[str, str | None] | None = None
) -> None:
    """Run Python in the shared environment; the session fails with any other exit status than those of `success`."""
    session.run(shared["python"], *arguments, external=True, success_codes=success, env=env)


@nox.session(venv_backend="none", requires=["environment"])
def report(session: nox.Session) -> None:
    """Audit every engine and write the report to reports/build (-- any option of `audit`, such as --engines numpy)."""
    run(session, "-m", "reports", "audit", *session.posargs, success=(0, 1))
    run(session, "-m", "reports", "render")


@nox.session(venv_backend="none", requires=["environment"])
def gate(session: nox.Session) -> None:
    """Audit every engine, write the report, and hold the results to their baseline (-- --update, --full)."""
    size = [option for option in session.posargs if option == "--full"]
    run(session, "-m", "reports", "audit", *size, success=(0, 1))
    run(session, "-m", "reports", "render", success=(0, 1))
    run(session, "-m", "reports", "gate", *(option for option in session.posargs if option not in size))


@nox.session(venv_backend="none", requires=["environment"])
def compare(session: nox.Session) -> None:
    """Say what changed between two runs (-- OLD.json NEW.json)."""
    run(session, "-m", "reports", "compare", *session.posargs)


@nox.session(venv_backend="none", requires=["environment"])
def tests(session: nox.Session) -> None:
    """Run the tests, on each core one file at a time (-- --exhaustive, any option of pytest)."""
    run(session, "-m", "pytest", "-n", "auto", "--dist", "loadfile", "--no-loadscope-reorder", *session.posargs)


@nox.session(venv_backend="none", requires=["environment"])
def fuzz(session: nox.Session) -> None:
    """Test the laws and the audit on Cases drawn from new seeds, until the time is over (-- --minutes 10)."""
    option, *rest = session.posargs or ["--minutes", "10"]
    if option != "--minutes" or len(rest) != 1 or not rest[0].isdecimal():
        session.error(f"{' '.join(session.posargs)!r} is not a time: give a whole number, such as --minutes 10")
    until = time.monotonic() + 60 * int(rest[0])
    while True:
        seed = random.SystemRandom().randrange(2**32)
        session.log(f"seed {seed}")
        run(
            session,
            *("-m", "pytest", "-q", "-n", "auto", "tests/laws", "-k", "obeys or holds", f"--hypothesis-seed={seed}"),
            env={"FUZZ": "3"},
        )
        if time.monotonic() > until:
            return


@nox.session(venv_backend="none", requires=["environment"])
def lint(session: nox.Session) -> None:
    """Check style, format, types, and which module imports which: ruff, mypy --strict, import-linter."""
    run(session, "-m", "ruff", "check", ".")
    run(session, "-m", "ruff", "format", "--check", ".")
    run(session, "-m", "mypy")
    run(session, "-c", "from importlinter.cli import lint_imports_command; lint_imports_command()")


@nox.session(venv_backend="none", requires=["environment"])
def bench(session: nox.Session) -> None:
    """Time the audit beside the engines and gradcheck, and the reference beside torch (-- --rounds 15)."""
    run(session, "-m", "reports", "bench", *session.posargs)


@nox.session(venv_backend="none", requires=["environment"])
def sweep(session: nox.Session) -> None:
    """Measure the accuracy of every scalar function in every engine (-- any option of `sweep`)."""
    run(session, "-m", "reports", "sweep", *session.posargs)


@nox.session(venv_backend="none", requires=["environment"])
def divergences(session: nox.Session) -> None:
    """Measure where the engines differ from the equations and from each other (-- any option of `divergences`)."""
    run(session, "-m", "reports", "divergences", *session.posargs)


@nox.session(venv_backend="none", requires=["environment"])
def trajectories(session: nox.Session) -> None:
    """Train with every optimiser in every engine, audit every step, and render the report (-- --steps, --epochs)."""
    run(session, "-m", "reports", "trajectories", *session.posargs)
    run(session, "-m", "reports", "render", success=(0, 1))


@nox.session(venv_backend="none", requires=["environment"])
def faults(session: nox.Session) -> None:
    """Plant every seeded fault, audit honest engines, and render what is caught in the report (-- --seeds, --cases)."""
    run(session, "-m", "reports", "faults", *session.posargs)
    run(session, "-m", "reports", "render", success=(0, 1))
