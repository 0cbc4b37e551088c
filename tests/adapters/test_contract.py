"""How adapters are found, and what is said of one that cannot be had."""

import sys

import pytest

from adapters.contract import ENGINES, AdapterError, describe, load
from adapters.numpy.engine import NumpyEngine

ENGINE_FILE = """
class Mine:
    name = "mine"

    def __init__(self, device="cpu"):
        self.device = device

    def supports(self, case):
        return True

    def trace(self, case):
        raise NotImplementedError
"""


@pytest.fixture
def adapter_file(tmp_path):
    """A function that writes an adapter file and gives its path."""

    def write(text, name="mine.py"):
        path = tmp_path / name
        path.write_text(text)
        return path

    return write


def message_of(*arguments):
    """The message of the AdapterError that load raises; it is one line."""
    with pytest.raises(AdapterError) as caught:
        load(*arguments)
    message = str(caught.value)
    assert message.strip(), "the message is empty, but should say what is wrong"
    assert "\n" not in message, f"the message is {message!r}, but should be one line"
    return message


# --- the three ways to name one


@pytest.mark.parametrize("name", ENGINES)
def test_load_by_name(name):
    found = load(name)
    assert found.name == name, f"name is {found.name!r}, but should be {name!r}"


def test_load_by_file(adapter_file):
    path = adapter_file(ENGINE_FILE)
    found = load(f"{path}:Mine")
    assert (found.name, found.device) == ("mine", "cpu")


def test_load_by_relative_file(adapter_file, monkeypatch):
    monkeypatch.chdir(adapter_file(ENGINE_FILE).parent)
    assert load("mine.py:Mine").name == "mine"


def test_load_by_module():
    assert isinstance(load("adapters.numpy.engine:NumpyEngine"), NumpyEngine)


def test_a_file_whose_path_holds_a_colon(tmp_path):
    folder = tmp_path / "a:b"
    folder.mkdir()
    (folder / "mine.py").write_text(ENGINE_FILE)
    assert load(f"{folder / 'mine.py'}:Mine").name == "mine"


def test_a_device_is_passed_on_only_where_it_is_not_the_cpu(adapter_file):
    path = adapter_file("class Mine:\n name, supports, trace = 'mine', None, None\n def __init__(self): pass\n")
    assert load(f"{path}:Mine").name == "mine"
    assert load(f"{adapter_file(ENGINE_FILE, 'other.py')}:Mine", "gpu").device == "gpu"


def test_two_files_of_one_name_do_not_collide(adapter_file, tmp_path):
    first = load(f"{adapter_file(ENGINE_FILE)}:Mine")
    (tmp_path / "elsewhere").mkdir()
    second = tmp_path / "elsewhere" / "mine.py"
    second.write_text(ENGINE_FILE.replace('"mine"', '"other"'))
    assert (first.name, load(f"{second}:Mine").name) == ("mine", "other")


def test_an_adapter_needs_nothing_of_ours(adapter_file):
    """A structural contract: the file imports nothing, and is loaded all the same."""
    assert "import" not in ENGINE_FILE
    load(f"{adapter_file(ENGINE_FILE)}:Mine")


# --- what cannot be had


@pytest.mark.parametrize("name", ["tensorflow", "", "NUMPY", "mine.py"])
def test_unknown_engine(name):
    message = message_of(name)
    for part in (repr(name), *ENGINES, "path/to/file.py:ClassName"):
        assert part in message, f"the message is {message!r}, but should name {part!r}"


def test_missing_file(tmp_path):
    path = tmp_path / "absent.py"
    assert str(path) in message_of(f"{path}:Mine")


def test_a_folder_is_no_file(tmp_path):
    folder = tmp_path / "folder.py"
    folder.mkdir()
    assert str(folder) in message_of(f"{folder}:Mine")


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("def broken(:\n", "SyntaxError"),
        ("import there_is_no_such_module\n", "there_is_no_such_module"),
        ("raise RuntimeError('first line\\nsecond line')\n", "first line second line"),
        ("raise RuntimeError\n", "RuntimeError"),
        ("'\x00'\n", "null bytes"),
        ("import sys\nsys.exit()\n", "SystemExit"),
    ],
    ids=["syntax", "import", "two lines", "no message", "null byte", "exit"],
)
def test_a_file_that_does_not_import(adapter_file, text, reason):
    path = adapter_file(text)
    message = message_of(f"{path}:Mine")
    assert str(path) in message
    assert reason in message, f"the message is {message!r}, but should give the reason {reason!r}"


@pytest.mark.parametrize("spec", ["there.is.none:Mine", ":Mine", ".:Mine"])
def test_a_module_that_does_not_import(spec):
    assert repr(spec.rpartition(":")[0]) in message_of(spec)


@pytest.mark.parametrize("name", ["Theirs", "mine", ""])
def test_no_such_class(adapter_file, name):
    path = adapter_file(ENGINE_FILE)
    message = message_of(f"{path}:{name}")
    assert repr(name) in message
    assert str(path) in message


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ("raise ValueError('no licence\\nfor this machine')", "ValueError: no licence for this machine"),
        ("import sys; sys.exit(0)", "SystemExit"),
    ],
    ids=["raises", "exits"],
)
def test_a_constructor_that_fails(adapter_file, body, reason):
    path = adapter_file(f"class Mine:\n    def __init__(self):\n        {body}\n")
    message = message_of(f"{path}:Mine")
    assert f"{path}:Mine" in message
    assert reason in message


def test_a_constructor_that_wants_arguments(adapter_file):
    path = adapter_file("class Mine:\n    def __init__(self, model):\n        pass\n")
    assert "model" in message_of(f"{path}:Mine")


def test_a_constructor_without_a_device(adapter_file):
    path = adapter_file("class Mine:\n name, supports, trace = 'mine', None, None\n")
    message = message_of(f"{path}:Mine", "gpu")
    assert f"{path}:Mine" in message


def test_an_adapter_error_of_its_own_is_passed_on(adapter_file):
    path = adapter_file(
        "from adapters.contract import AdapterError\n"
        "class Mine:\n    def __init__(self):\n        raise AdapterError('bring your own device')\n"
    )
    assert message_of(f"{path}:Mine") == "bring your own device"


@pytest.mark.parametrize("member", ["name", "supports", "trace"])
def test_a_class_that_lacks_a_member(adapter_file, member):
    members = {"name": "name = 'mine'", "supports": "supports = None", "trace": "trace = None"}
    del members[member]
    path = adapter_file("class Mine:\n" + "".join(f"    {line}\n" for line in members.values()))
    message = message_of(f"{path}:Mine")
    assert repr(member) in message
    assert "name, supports and trace" in message


# --- devices


def gpu_of(name):
    """Whether an engine's framework sees a GPU."""
    if name == "torch-eager":
        import torch

        return torch.cuda.is_available()
    import jax

    try:
        return bool(jax.devices("gpu"))
    except RuntimeError:
        return False


@pytest.mark.parametrize("name", ["torch-eager", "jax-jit", "jax-whole"])
def test_a_gpu_that_is_not_there(name):
    if gpu_of(name):
        pytest.skip(f"{name} sees a GPU here")
    message = message_of(name, "gpu")
    for part in ("'gpu'", name, "cpu"):
        assert part in message, f"the message is {message!r}, but should name {part}"


@pytest.mark.parametrize("name", ["torch-eager", "jax-jit", "jax-whole"])
def test_a_device_that_no_framework_has(name):
    message = message_of(name, "abacus")
    for part in ("'abacus'", name, "cpu"):
        assert part in message, f"the message is {message!r}, but should name {part}"


# --- lazily, and on one line


def test_the_contract_imports_no_framework(tmp_path):
    import subprocess

    code = "import sys, adapters.contract; print(sorted({'torch', 'jax', 'optax'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]", f"loaded with the contract is {done.stdout.strip()}, but should be nothing"


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (ValueError("one"), "ValueError: one"),
        (ValueError("one\n  two\r\n\tthree"), "ValueError: one two three"),
        (KeyError("missing"), "KeyError: 'missing'"),
        (RuntimeError(), "RuntimeError:"),
    ],
    ids=["plain", "lines", "key", "empty"],
)
def test_describe(error, line):
    assert describe(error) == line


# --- the arithmetic that an adapter declares: see test_declared.py


def test_a_wrong_declaration_is_found_when_the_adapter_is_loaded(adapter_file):
    path = adapter_file(ENGINE_FILE + "\n    arithmetic = {'flushes': 'no'}\n")
    assert "flushes = 'no'" in message_of(f"{path}:Mine")


def test_a_declaration_that_raises_is_one_line(adapter_file):
    path = adapter_file(ENGINE_FILE + "\n    @property\n    def arithmetic(self):\n        return 1 / 0\n")
    assert "cannot be read: ZeroDivisionError" in message_of(f"{path}:Mine")
