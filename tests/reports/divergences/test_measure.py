"""The table of divergences: what it must show, the known departures that it meets, what its reproducers print."""

import io
import math

import jax
import numpy as np
import pytest
from rich.console import Console

from adapters.contract import AdapterError, load
from reference import accuracy
from reference.activations import ACTIVATIONS, Activation, Kink
from reference.losses import LOSSES
from reference.rounding import DTYPES, UNIT_ROUNDOFF
from reports.divergences import measure, reproducers, terminal
from reports.divergences.known import KNOWN

ENGINES = ("numpy", "torch-eager", "jax-jit")


@pytest.fixture(scope="module", autouse=True)
def as_people_run_it():
    """Reproducers run with JAX's own promotion of types: optax raises β to the power of an int32."""
    with jax.numpy_dtype_promotion("standard"):
        yield


SOME = {
    "float32": (
        "relu",
        "hinge",
        "binary_cross_entropy",
        "categorical_cross_entropy",
        "categorical_cross_entropy_on_logits",
    ),
    "float16": ("sigmoid", "silu", "absolute_error", "binary_cross_entropy", "cosine_distance"),
    "bfloat16": ("hardtanh",),
}
"""What the quick tests ask for beside most functions in float64: JAX compiles each function for each format."""

ALIKE = (
    *("logsigmoid", "elu", "relu6"),
    *("mean_squared_error", "smooth_l1", "gaussian_nll", "squared_hinge", "poisson_nll", "log_cosh"),
    *("binary_cross_entropy_on_logits", "categorical_cross_entropy_with_classes", "smoothed_cross_entropy_on_logits"),
)
"""What the quick tests do not ask for in float64: others have their kinks, tails or defaults."""


@pytest.fixture(scope="module", params=["most in float64", pytest.param("all", marks=pytest.mark.exhaustive)])
def rows(request, engine_named):
    """The table of three engines, measured once."""
    engines = [engine_named(name) for name in ENGINES]
    if request.param == "all":
        return measure.measure(engines, DTYPES)
    in_float64 = [name for name in (*ACTIVATIONS, *LOSSES) if name not in ALIKE]
    found = some_rows(engines, "float64", in_float64, measure.default_rows)
    return [*found, *(row for dtype in SOME for row in some_rows(engines, dtype, SOME[dtype], lambda engines: ()))]


def some_rows(engines, dtype, functions, default_rows):
    """The rows of some functions, of the defaults, and of the arithmetic, in one format."""
    with pytest.MonkeyPatch.context() as patch:
        for table in ("ACTIVATIONS", "LOSSES"):
            kept = {name: f for name, f in getattr(measure, table).items() if name in functions}
            patch.setattr(measure, table, kept)
        patch.setattr(measure, "default_rows", default_rows)
        return measure.measure(engines, (dtype,))


def row_called(rows, identity):
    """The row of that id."""
    found = [row for row in rows if row["id"] == identity]
    assert len(found) == 1, f"rows called {identity} are {len(found)}, but should be 1"
    return found[0]


# --- the table as it is


FIELDS = (
    *("id", "function", "kind", "what", "dtype", "kink", "input", "equation", "engines"),
    *("status", "departure", "ordinary", "bound", "note", "source", "reproducer"),
)


MEASURED = ("departure", "ordinary")
"""A default is one formula or another: how far they lie apart says nothing."""


def test_rows_have_one_shape(rows):
    for row in rows:
        assert tuple(row) == tuple(name for name in FIELDS if row["kind"] != "default" or name not in MEASURED)
        assert set(row["engines"]) == set(row["status"]) == set(ENGINES)
        assert set(row["status"].values()) <= {"equal", "convention", "approximation", "defect", "not there"}
        assert set(row["status"].values()) - {"equal", "not there"}, f"{row['id']} has nothing to tell"
        assert row["note"]
        for engine, status in row["status"].items():
            assert (row["engines"][engine] == "not there") == (status == "not there")


def test_ids_are_unique(rows):
    ids = [row["id"] for row in rows]
    assert len(ids) == len(set(ids))


def test_what_departs_in_a_framework_has_a_reproducer_that_imports_nothing_of_ours(rows):
    for row in rows:
        departing = {e for e, s in row["status"].items() if s not in ("equal", "not there")}
        assert set(row["reproducer"]) == departing - {"numpy"}
        for code in row["reproducer"].values():
            assert len(code.splitlines()) <= 10
            assert not any(name in code for name in ("reference", "adapters", "reports"))


def shown_by_code(rows):
    """The rows of each engine, and the code that shows it; what is a convention in every format, in one of them."""
    once = {}
    for row in rows:
        for engine, code in row["reproducer"].items():
            key = row["function"], row["what"], row["input"], engine
            if row["status"][engine] != "convention" or once.setdefault(key, row["dtype"]) == row["dtype"]:
                yield row, engine, code


def differing(rows):
    """What the code of each row prints, where it is not what the row shows.

    Four roundings are left to kernels that compute a vector otherwise than one number.
    """
    for row, engine, code in rows:
        shown, printed = row["engines"][engine].split(" (")[0], reproducers.run(code)
        numbers = zip(reproducers.numbers_in(printed), reproducers.numbers_in(shown), strict=True)
        near = 4 * UNIT_ROUNDOFF[row["dtype"]]
        if not all(a == b or (math.isnan(a) and math.isnan(b)) or abs(a - b) <= near * abs(b) for a, b in numbers):
            yield f"{row['id']} of {engine} prints {printed}, but should print {shown}\n{code}"


def test_reproducers_print_what_their_rows_show(rows):
    """Of JAX, which compiles each, one in eight."""
    shown = list(shown_by_code(rows))
    of_torch = [each for each in shown if each[1] != "jax-jit"]
    of_jax = [each for each in shown if each[1] == "jax-jit"]
    assert min(len(of_torch), len(of_jax)) > 30
    assert not list(differing([*of_torch, *of_jax[::8]]))


@pytest.mark.exhaustive
def test_every_reproducer_prints_what_its_row_shows(rows):
    assert not list(differing(shown_by_code(rows)))


def test_an_approximation_states_its_bound_and_its_source(rows):
    for row in rows:
        if "approximation" in row["status"].values():
            assert row["bound"]
            assert row["source"].startswith("https://")


def of_known(known):
    return f"{known.functions}-{known.what}-{known.dtypes}"


def assert_met(known, rows):
    """A departure that no row shows is stale: the engine has changed."""
    met = [
        row
        for row in rows
        if known.reason in row["note"]
        and row["what"] == known.what
        and row["dtype"] in known.dtypes
        and (not known.functions or row["function"] in known.functions)
        and known.status in {row["status"].get(engine) for engine in known.engines}
    ]
    assert met, f"no row is explained by {known.reason!r}"


@pytest.mark.parametrize("known", [known for known in KNOWN if "cpu" in known.devices], ids=of_known)
def test_every_known_departure_is_met(known, rows):
    assert_met(known, rows)


@pytest.mark.parametrize("known", [known for known in KNOWN if known.devices == ("gpu",)], ids=of_known)
def test_every_departure_of_a_gpu_is_met_on_one(known):
    try:
        gpu = load(*known.engines, "gpu")
    except AdapterError as error:
        pytest.skip(f"no GPU: {error}")
    assert_met(known, measure.measure([gpu], known.dtypes))


LEADS = [
    ("relu/derivative/float32/0.0", "[0.0, 1.0]", "torch-eager", "0.0", "convention"),
    ("leaky_relu/derivative/float64/0.0", "[0.01, 1.0]", "torch-eager", "0.01", "convention"),
    ("leaky_relu/derivative/float64/0.0", "[0.01, 1.0]", "jax-jit", "1.0", "convention"),
    ("leaky_relu/derivative/float64/0.0,slope=0.003", "[0.003, 1.0]", "jax-jit", "1.0", "convention"),
    ("hardtanh/derivative/bfloat16/1.0", "[0.0, 1.0]", "torch-eager", "0.0", "convention"),
    ("hardtanh/derivative/bfloat16/1.0", "[0.0, 1.0]", "jax-jit", "1.0", "convention"),
    ("hinge/derivative/float32/1.0,y=1.0", "[-1.0, 0.0]", "torch-eager", "-1.0", "convention"),
    ("hinge/derivative/float32/1.0,y=1.0", "[-1.0, 0.0]", "jax-jit", "-0.5", "convention"),
    ("absolute_error/derivative/float16/1.0,y=1.0", "[-1.0, 1.0]", "torch-eager", "0.0", "convention"),
    ("softplus/value/float64/20.5", "20.500000001250154", "torch-eager", "20.5", "approximation"),
    ("softplus/derivative/float64/20.5", "0.9999999987498471", "torch-eager", "1.0", "approximation"),
    ("relu/derivative/float32/1.401298464324817e-45", "1.0", "jax-jit", "0.0", "approximation"),
    ("bias_gradient_sum/accumulation/bfloat16/1 + 128 · 0.00390625", "1.5", "jax-jit", None, "approximation"),
    (
        "gradient_of_a_norm/derivative/bfloat16/1 − cos(a,y) in 4096 rows,a=[3.21875,8.0,3.4375]",
        *("0.03434901885674521", "jax-jit", "0.0", "defect"),
    ),
    ("log1p/value/float64/log1p(-0.41421355)", "-0.5347999756173761", "jax-jit", None, "defect"),
]


@pytest.mark.parametrize(("identity", "equation", "engine", "shown", "status"), LEADS)
def test_what_is_known_to_differ_is_found(identity, equation, engine, shown, status, rows):
    row = row_called(rows, identity)
    assert row["equation"] == equation
    assert row["status"][engine] == status
    assert shown is None or row["engines"][engine] == shown


def test_torch_holds_a_sixth_in_float32(rows):
    found = [r for r in rows if (r["function"], r["what"], r["dtype"]) == ("hardsigmoid", "derivative", "float64")]
    assert "0.1666666716337204" in {
        r["engines"]["torch-eager"] for r in found if r["status"]["torch-eager"] == "defect"
    }


def test_defaults_are_recognised(rows):
    gelu = row_called(rows, "gelu/default/float64/1.0")
    assert gelu["engines"]["torch-eager"].endswith("(erf form)")
    assert gelu["engines"]["jax-jit"].endswith("(tanh form)")
    half = row_called(rows, "half_squared_error/default/float64/two samples of three components")
    assert half["engines"]["torch-eager"].endswith("(mean over the elements: without the half)")
    assert half["engines"]["jax-jit"].endswith("(one number an element)")
    assert all(row["status"]["numpy"] == "not there" for row in rows if row["kind"] == "default")
    defects = {row["function"] for row in rows if row["kind"] == "default" and "defect" in row["status"].values()}
    assert defects == {"exponential schedule", "step schedule"}


@pytest.mark.parametrize(
    ("function", "torch", "jax"),
    [
        ("Adagrad", "ε = 1e-10 outside the root, s from 0", "ε = 1e-7 in the root, s from 0.1"),
        ("RMSProp", "ε outside the root, ρ = 0.99", "ε in the root, ρ = 0.9"),
        ("RMSProp, centred", "ε outside the root, ρ = 0.99", "ε in the root, ρ = 0.9"),
        ("momentum, dampened by 0.5", "the first gradient not dampened", None),
        ("AdamW", "λ = 0.01, multiplied by η", "λ = 1e-4, multiplied by η"),
        ("AMSGrad", "maximum of v, then corrected", "maximum of the corrected v"),
        ("NAdam", "as scheduled, its product in float32", "constant momentum"),
        ("clipping by the global norm", "c/(‖g‖ + 1e-6)", "c/‖g‖"),
        ("gradients of two batches", "sum", "mean, kept in float32"),
        ("cosine schedule", "rises again", "by its formula"),
        ("exponential schedule", "by its formula", "in float32"),
        ("step schedule", "by its formula", "one step late"),
    ],
)
def test_optimisers_schedules_and_clipping_of_one_name_are_told_apart(rows, function, torch, jax):
    (row,) = (row for row in rows if row["function"] == function)
    for engine, candidate in (("torch-eager", torch), ("jax-jit", jax)):
        assert row["engines"][engine].endswith(f"({candidate})" if candidate else "not there")
        if engine in row["reproducer"]:
            assert reproducers.run(row["reproducer"][engine]) == row["engines"][engine].rpartition(f" ({candidate})")[0]
            assert len(row["reproducer"][engine].splitlines()) <= 10


def test_measured_twice_it_is_the_same(engine_named):
    adapters = [engine_named("numpy")]
    assert measure.measure(adapters, ("float16",)) == measure.measure(adapters, ("float16",))


def test_a_new_activation_is_asked_without_being_listed(monkeypatch, engine_named):
    kink = Activation(
        "bent",
        lambda z: np.maximum(z, 2),
        lambda z: (z > 2).astype(z.dtype),
        np.zeros_like,
        np.zeros_like,
        (Kink(2.0, 0.0, 1.0),),
    )
    monkeypatch.setitem(ACTIVATIONS, "bent", kink)
    monkeypatch.setattr(measure, "LOSSES", {})
    monkeypatch.setattr(accuracy, "k", lambda *names: 4.0)
    found = measure.measure([engine_named("numpy"), engine_named("torch-eager")], ("float32",))
    row = row_called(found, "bent/derivative/float32/2.0")
    assert row["equation"] == "[0.0, 1.0]"
    assert row["status"] == {"numpy": "convention", "torch-eager": "not there"}


# --- in a terminal


def test_the_terminal_shows_every_function_in_80_columns(rows):
    console = Console(file=io.StringIO(), width=80)
    console.print(terminal.table(rows))
    printed = console.file.getvalue()
    assert max(len(line) for line in printed.splitlines()) <= 80
    assert f"{len(rows)} rows" in printed
    assert "torch-eager" in printed
    assert "torch-eager 20.5 " in printed, "softplus is not told from 20.500000001250154"
    assert "tanh form" in printed
    for function in ("softplus", "hinge", "gelu"):
        assert function in printed
