"""A failing Case as files: the Case, exact to the last bit, and a script each for NumPy, torch and JAX that shows it.

The scripts read the Case from the file beside them, and compute the number that is off with what the framework has of
its own: nothing of an adapter is in them. A Case file is data: it is read, checked, and never executed.
"""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any

from adapters.contract import Adapter
from reference.activations import ACTIVATIONS
from reference.case import Case, to_json
from reference.cases import Combination
from reference.losses import LOSSES
from reports import reproducers
from reports.campaign import draw, run_cell
from reports.results import number, writable, write

Record = dict[str, Any]

MOST = 10
"""Failing Cases of a campaign that are written."""

QUANTITIES = {
    "loss": ("1",),
    "losses": ("8",),
    "z": ("z", "12"),
    "a": ("a",),
    "delta": ("9", "11", "14"),
    "dW": ("7a", "10a", "5a", "2a"),
    "db": ("7b", "10b", "5b", "2b"),
}
"""What a script computes, and the equations that it is the left side of, or whose error it carries on."""

NUMPY = '''"""{title}"""
from pathlib import Path

import numpy as np

from reference.case import read
from reference.network import trace

case = read(Path(__file__).with_name({file!r}))
with np.errstate(all="ignore"):
    found = trace(case)
print("the equations, in float64:", np.asarray({found})[{index}])
print({observed!r})
print({expected!r})
'''

TORCH = '''"""{title}"""
import json
from pathlib import Path

import torch
import torch.nn.functional as F

case = json.loads(Path(__file__).with_name({file!r}).read_text())


def tensor(rows):
    read = lambda part: list(map(read, part)) if isinstance(part, list) else float.fromhex(part)
    return torch.tensor(read(rows), dtype=torch.{dtype})


W, b = ([tensor(rows).requires_grad_() for rows in case[name]] for name in ("W", "b"))
x, y, z, a = tensor(case["x"]), tensor(case["y"]), [], []
for W_l, b_l in zip(W, b):
    z.append(F.linear(a[-1] if a else x, W_l, b_l))
    z[-1].retain_grad()
    hidden, output = (lambda z: {hidden}), (lambda z: {output})
    a.append(hidden(z[-1]) if len(a) < len(W) - 1 else output(z[-1]))
L_i = lambda p, y: {loss}
losses = torch.stack([L_i(p, t).reshape(()) for p, t in zip({argument}[-1].split(1), y.split(1))])
losses.mean().backward()
loss, delta = losses.mean(), [len(x) * each.grad for each in z]
dW, db = [each.grad for each in W], [each.grad for each in b]
print("torch:", {found}[{index}].item())
print({observed!r})
print({expected!r})
'''

JAX = '''"""{title}"""
import json
from pathlib import Path

import jax, optax
import jax.numpy as jnp

jax.config.update("jax_enable_x64", True)
case = json.loads(Path(__file__).with_name({file!r}).read_text())


def array(rows):
    read = lambda part: list(map(read, part)) if isinstance(part, list) else float.fromhex(part)
    return jnp.array(read(rows), jnp.{dtype})


W, b = ([array(rows) for rows in case[name]] for name in ("W", "b"))
x, y = array(case["x"]), array(case["y"])
L_i = lambda p, y: {loss}


@jax.jit
def run(W, b, probes):
    z, a = [], []
    hidden, output = (lambda z: {hidden}), (lambda z: {output})
    for l in range(len(W)):
        z.append((a[-1] if a else x) @ W[l].T + b[l] + probes[l])
        a.append(hidden(z[-1]) if l < len(W) - 1 else output(z[-1]))
    losses = jnp.stack([L_i(p[None], t[None]).reshape(()) for p, t in zip({argument}[-1], y)])
    return losses.mean(), (z, a, losses)


probes = [jnp.zeros((len(x), len(b_l)), x.dtype) for b_l in b]
((loss, (z, a, losses)), (dW, db, d)) = jax.value_and_grad(run, (0, 1, 2), has_aux=True)(W, b, probes)
delta = [len(x) * each for each in d]
print("JAX:", float({found}[{index}]), {observed!r}, {expected!r}, sep="\\n")
'''

SCRIPTS = {"numpy": NUMPY, "torch": TORCH, "jax": JAX}


def scripts(case: Case, file: str, engine: str, finding: Mapping[str, Any]) -> dict[str, str]:
    """The scripts of a finding, by framework; one that lacks a function has none, NumPy has them all.

    `finding` is one of results.json; `file` the name of the Case's file.
    """
    worst = finding["worst"]
    quantity = next((name for name, equations in QUANTITIES.items() if finding["equation"] in equations), "loss")
    observed, expected, allowed = (number(worst[side]) for side in ("observed", "expected", "allowed"))
    layer = int(finding["layer"])
    common = {
        "title": f"({finding['equation']}) in layer {layer} at {worst['index']} of the Case in {file}.",
        "file": file,
        "dtype": case.dtype,
        "argument": "z" if case.criterion.on_logits else "a",
        "observed": f"{engine} gave: {observed!r}",
        "expected": f"its operands make it: {expected!r} ± {allowed:.3g}",
    }
    index = ", ".join(map(str, worst["index"])) or "()"
    of_network = quantity in ("loss", "losses")
    place = quantity if of_network else f"{quantity}[{layer - 1}]"  # in a list, whose first is of layer 1
    in_trace = f"found.{quantity}" if of_network else f"found.{quantity}[{layer}]"
    made = {"numpy": NUMPY.format(**common, found=in_trace, index=index)}
    for framework in ("torch", "jax"):
        functions = sources(case, framework)
        if functions is not None:
            made[framework] = SCRIPTS[framework].format(**common, **functions, found=place, index=index)
    return made


def sources(case: Case, framework: str) -> dict[str, str] | None:
    """The three functions of a Case in the framework's own words; None where it lacks one."""
    of_activations, of_losses = reproducers.ACTIVATIONS[framework], reproducers.LOSSES[framework]
    asked = (
        ("hidden", of_activations, ACTIVATIONS),
        ("output", of_activations, ACTIVATIONS),
        ("loss", of_losses, LOSSES),
    )
    found = {}
    for role, table, functions in asked:
        name = getattr(case, role)
        if name not in table:
            return None
        usual = functions[name].parameters
        given = {**usual, **case.parameters.get(role, {})}
        found[role] = table[name].format(**given)
        if given != usual and found[role] == table[name].format(**usual):  # JAX's softplus has no β
            return None
    return found


def save(folder: Path, name: str, case: Case, engine: str, finding: Mapping[str, Any]) -> list[Path]:
    """Write a failing Case and its scripts; the paths. What no name of a file should have becomes a hyphen."""
    writable(folder)
    plain = re.sub(r"[^A-Za-z0-9._+-]+", "-", name)
    paths = [folder / f"{plain}.json"]
    write(paths[0], to_json(case))
    for framework, code in scripts(case, paths[0].name, engine, finding).items():
        paths.append(folder / f"{plain}_{framework}.py")
        write(paths[-1], code)
    return paths


# --- the failing cells of a campaign


def save_failures(folder: Path, cells: Sequence[Record], seed: int) -> list[Path]:
    """Write the first failing Cases of a campaign, in which a number is off that nothing explains; the Cases' paths."""
    failing = (
        (cell, finding)
        for cell in cells
        if cell["verdict"] == "breaks" and not cell["explained"] and (finding := off(cell)) is not None
    )
    return [
        save(folder, cell["id"], case_of(cell, finding, seed), cell["engine"], finding)[0]
        for cell, finding in islice(failing, MOST)
    ]


def case_of(cell: Mapping[str, Any], finding: Mapping[str, Any], seed: int) -> Case:
    """The Case of a campaign in which a finding is worst, drawn again."""
    index = int(finding["worst"]["case"])
    names = Combination(cell["hidden"], cell["output"], cell["loss"])
    return list(draw(seed, names, cell["dtype"], index + 1))[index]


# --- one Case in one engine


def audited(adapter: Adapter, device: str, case: Case) -> Record:
    """The Case as a cell of a campaign, without experiments."""
    names = Combination(case.hidden, case.output, case.loss)
    return run_cell(adapter, device, case.dtype, names, [case], 0, thorough=False)


def is_off(cell: Mapping[str, Any]) -> bool:
    """Whether a cell breaks in a number."""
    return off(cell) is not None


def off(cell: Mapping[str, Any]) -> Record | None:
    """The first finding of a cell that is of a number."""
    return next((finding for finding in cell["findings"] if finding["worst"]), None)


def save_smallest(folder: Path, name: str, adapter: Adapter, device: str, case: Case) -> list[Path]:
    """Write the smallest Case that still breaks in an engine, and its scripts; the paths."""
    least = smaller(case, lambda each: is_off(audited(adapter, device, each)))
    finding = off(audited(adapter, device, least))
    assert finding is not None
    return save(folder, f"{name}-{adapter.name}", least, adapter.name, finding)


# --- smaller Cases


def smaller(case: Case, fails: Callable[[Case], bool]) -> Case:
    """A smaller Case that still fails: fewer samples, fewer units, as long as one that is smaller does."""
    while (found := next((each for each in reduced(case) if fails(each)), None)) is not None:
        case = found
    return case


def reduced(case: Case) -> Iterator[Case]:
    """Cases with half the samples, one sample less, and one hidden unit or input less."""
    rows = list(range(case.samples))
    halves = [rows[: len(rows) // 2], rows[len(rows) // 2 :]] if len(rows) > 1 else []
    ones = [rows[:i] + rows[i + 1 :] for i in rows] if 1 < len(rows) <= 8 else []
    for kept in (*halves, *ones):
        yield case.on_batch(case.x[kept], case.y[kept])
    for l in range(case.last):
        width = case.W[l + 1].shape[1]
        for unit in range(width) if width > 1 else ():
            yield without_unit(case, l, unit)


def without_unit(case: Case, l: int, unit: int) -> Case:
    """The Case without a unit of layer l; of layer 0, without an input."""
    kept = [i for i in range(case.W[l + 1].shape[1]) if i != unit]
    W, b, x = {**case.W, l + 1: case.W[l + 1][:, kept]}, dict(case.b), case.x
    if l == 0:
        x = case.x[:, kept]
    else:
        W[l], b[l] = case.W[l][kept], case.b[l][kept]
    return replace(case, W=W, b=b, x=x)
