"""The import contract: it holds, and fails for an import that it forbids."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]

PACKAGES = ("reference", "adapters", "reports")


@pytest.fixture
def project(tmp_path):
    """A copy of the packages' modules, and of the contract."""
    for package in PACKAGES:
        for path in (ROOT / package).rglob("*.py"):
            copy = tmp_path / path.relative_to(ROOT)
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(path, copy)
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    return tmp_path


def lint_imports(folder):
    """The exit status of import-linter in a folder, and what it prints."""
    code = "from importlinter.cli import lint_imports_command; lint_imports_command(['--no-cache'])"
    done = subprocess.run([sys.executable, "-c", code], cwd=folder, capture_output=True, text=True, check=False)
    return done.returncode, done.stdout + done.stderr


def test_the_contract_holds(project):
    status, text = lint_imports(project)
    assert status == 0, text
    assert "0 broken" in text


@pytest.mark.parametrize(
    ("file", "line", "contract", "message"),
    [
        (
            "reports/results/files.py",
            "from reports.page import report",
            "The storeys of reports",
            "reports.results.files -> reports.page.report",
        ),
        (
            "reference/audit.py",
            "import reports.text",
            "reference <- adapters <- reports",
            "reference.audit -> reports.text",
        ),
        ("reference/audit.py", "import torch", "The reference imports no framework", "reference.audit -> torch"),
        (
            "adapters/torch/eager.py",
            "import adapters.jax.jit",
            "An engine knows its own framework alone",
            "adapters.torch.eager -> adapters.jax.jit",
        ),
    ],
    ids=["a storey above", "a house above", "a framework", "another engine"],
)
def test_a_forbidden_import_breaks_the_contract(project, file, line, contract, message):
    path = project / file
    path.write_text(f"{path.read_text(encoding='utf-8')}\n{line}\n", encoding="utf-8")
    status, text = lint_imports(project)
    assert status == 1, text
    assert f"{contract} BROKEN" in text
    assert message in text
