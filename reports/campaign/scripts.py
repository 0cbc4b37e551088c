"""Scripts that show a failing Case in NumPy, torch and JAX without any adapter."""

from reference.activations import ACTIVATIONS
from reference.case import Case
from reference.losses import LOSSES
from reports.divergences import reproducers
from reports.results.files import number
from reports.results.records import FindingRecord

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
    computed = trace(case)
print("the equations, in float64:", np.asarray({number})[{index}])
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
print("torch:", {number}[{index}].item())
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
print("JAX:", float({number}[{index}]), {observed!r}, {expected!r}, sep="\\n")
'''

SCRIPTS = {"numpy": NUMPY, "torch": TORCH, "jax": JAX}


def scripts(case: Case, file: str, engine: str, finding: FindingRecord) -> dict[str, str]:
    """The scripts that compute the number in which a finding is worst, by framework.

    A framework that lacks a function of the Case has no script; NumPy has them all. `file` is the name of the Case's
    file.
    """
    worst = finding["worst"]
    assert worst is not None
    quantity = next((name for name, equations in QUANTITIES.items() if finding["equation"] in equations), "loss")
    observed, expected, allowed = number(worst["observed"]), number(worst["expected"]), number(worst["allowed"])
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
    in_list = quantity if of_network else f"{quantity}[{layer - 1}]"  # whose first is of layer 1
    in_trace = f"computed.{quantity}" if of_network else f"computed.{quantity}[{layer}]"
    code = {"numpy": NUMPY.format(**common, number=in_trace, index=index)}
    for framework in ("torch", "jax"):
        functions = sources(case, framework)
        if functions is not None:
            code[framework] = SCRIPTS[framework].format(**common, **functions, number=in_list, index=index)
    return code


def sources(case: Case, framework: str) -> dict[str, str] | None:
    """The three functions of a Case in the framework's own code; None where it lacks one."""
    of_activations, of_losses = reproducers.ACTIVATIONS[framework], reproducers.LOSSES[framework]
    roles = (
        ("hidden", of_activations, ACTIVATIONS),
        ("output", of_activations, ACTIVATIONS),
        ("loss", of_losses, LOSSES),
    )
    expressions = {}
    for role, table, functions in roles:
        name = getattr(case, role)
        if name not in table:
            return None
        usual = functions[name].parameters
        of_case = {**usual, **case.parameters.get(role, {})}
        expressions[role] = table[name].format(**of_case)
        if of_case != usual and expressions[role] == table[name].format(**usual):  # JAX's softplus has no β
            return None
    return expressions
