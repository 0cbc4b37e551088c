"""The table of divergences: what it must find, what it must not let pass, what its reproducers print."""

import io
import math
from dataclasses import replace

import jax
import numpy as np
import pytest
from rich.console import Console

from adapters.contract import AdapterError, load
from adapters.numpy.engine import NumpyEngine
from reference import accuracy
from reference.activations import ACTIVATIONS, Activation, Kink
from reference.rounding import DTYPES, FORMATS, LARGEST, UNIT_ROUNDOFF
from reports.divergences import defaults, functions, inputs, measure, reproducers, terminal
from reports.divergences.explaining import explains
from reports.divergences.known import KNOWN, ON_A_GPU
from reports.divergences.optimiser_defaults import training_defaults

ENGINES = ("numpy", "torch-eager", "jax-jit")


@pytest.fixture(scope="module", autouse=True)
def as_people_run_it():
    """Reproducers run with JAX's own promotion of types: optax raises β to the power of an int32."""
    with jax.numpy_dtype_promotion("standard"):
        yield


@pytest.fixture(scope="module")
def rows(engine_named):
    """The whole table of three engines, measured once."""
    return measure.measure([engine_named(name) for name in ENGINES], DTYPES)


def named(rows, identity):
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


def test_reproducers_print_what_their_rows_show(rows):
    """Four roundings are left to kernels that compute a vector otherwise than one number.

    What is a convention in every format is run in one of them: half a minute less.
    """
    once = {}
    for row in rows:
        for engine, code in row["reproducer"].items():
            key = row["function"], row["what"], row["input"], engine
            if row["status"][engine] == "convention" and once.setdefault(key, row["dtype"]) != row["dtype"]:
                continue
            shown = row["engines"][engine].split(" (")[0]
            printed = reproducers.run(code)
            for got, stated in zip(reproducers.numbers_in(printed), reproducers.numbers_in(shown), strict=True):
                same = got == stated or (math.isnan(got) and math.isnan(stated))
                near = abs(got - stated) <= 4 * UNIT_ROUNDOFF[row["dtype"]] * abs(stated)
                assert same or near, f"{row['id']} of {engine} prints {printed}, but should print {shown}\n{code}"


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


@pytest.mark.parametrize("known", [known for known in KNOWN if known not in ON_A_GPU], ids=of_known)
def test_every_known_departure_is_met(known, rows):
    assert_met(known, rows)


@pytest.mark.parametrize("known", ON_A_GPU, ids=of_known)
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
    row = named(rows, identity)
    assert row["equation"] == equation
    assert row["status"][engine] == status
    assert shown is None or row["engines"][engine] == shown


def test_torch_holds_a_sixth_in_float32(rows):
    found = [r for r in rows if (r["function"], r["what"], r["dtype"]) == ("hardsigmoid", "derivative", "float64")]
    assert "0.1666666716337204" in {
        r["engines"]["torch-eager"] for r in found if r["status"]["torch-eager"] == "defect"
    }


def test_defaults_are_recognised(rows):
    gelu = named(rows, "gelu/default/float64/1.0")
    assert gelu["engines"]["torch-eager"].endswith("(erf form)")
    assert gelu["engines"]["jax-jit"].endswith("(tanh form)")
    half = named(rows, "half_squared_error/default/float64/two samples of three components")
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
    for engine, said in (("torch-eager", torch), ("jax-jit", jax)):
        assert row["engines"][engine].endswith(f"({said})" if said else "not there")
        if engine in row["reproducer"]:
            assert reproducers.run(row["reproducer"][engine]) == row["engines"][engine].rpartition(f" ({said})")[0]
            assert len(row["reproducer"][engine].splitlines()) <= 10


@pytest.mark.parametrize("default", training_defaults(), ids=lambda default: default.function)
def test_no_two_forms_of_a_name_give_the_same(default):
    candidates = default.candidates()
    for name, values in candidates.items():
        assert defaults.recognised(reproducers.shown(values).strip("[]"), candidates) == name


@pytest.mark.parametrize("printed", ["0.5", "nan", "1.0, 2.0", "RuntimeError: no"])
def test_an_answer_that_is_no_candidate_is_not_recognised(printed):
    assert defaults.recognised(printed, {"one": np.array([1.0])}) == defaults.UNKNOWN
    assert defaults.recognised("1.0", {"one": np.array([1.0])}) == "one"


def test_measured_twice_it_is_the_same(engine_named):
    adapters = [engine_named("numpy")]
    assert measure.measure(adapters, ("float16",)) == measure.measure(adapters, ("float16",))


# --- the inputs


def test_inputs_are_numbers_of_the_format_and_reach_its_ends(dtype):
    z = inputs.line([0.5], dtype)
    assert np.array_equal(z, z.astype(FORMATS[dtype]).astype(np.float64), equal_nan=True)
    assert len(z) == len(set(z[:-1])) + 1
    for x in (0.0, 0.5, 20.5, -1000.0, LARGEST[dtype], -np.inf):
        assert x in z
    assert np.isnan(z[-1])
    below, above = z[z < 0.5].max(), z[z > 0.5].min()
    assert 0 < 0.5 - below <= 0.5 * 2 * UNIT_ROUNDOFF[dtype]
    assert 0 < above - 0.5 <= 2 * UNIT_ROUNDOFF[dtype]
    smallest = np.nanmin(np.abs(z[z != 0]))
    assert smallest == np.nextafter(np.zeros((), FORMATS[dtype]), np.ones((), FORMATS[dtype]))


@pytest.mark.parametrize(
    ("name", "z", "value", "derivative"),
    [
        ("silu", -np.inf, 0, 0),
        ("silu", np.inf, np.inf, 1),
        ("sigmoid", np.inf, 1, 0),
        ("squareplus", 1.7e308, 1.7e308, 1),
        ("squareplus", -np.inf, 0, 0),
        ("leaky_relu", -1.7e308, -1.7e306, 0.01),
        ("tanhshrink", -np.inf, -np.inf, 1),
    ],
)
def test_at_infinity_the_equation_is_its_limit(name, z, value, derivative):
    f = ACTIVATIONS[name]
    with np.errstate(all="ignore"):
        assert inputs.far(f.value, np.array([z])) == pytest.approx(value)
        assert inputs.far(f.derivative, np.array([z])) == pytest.approx(derivative)


# --- what must be caught


class Planted(NumpyEngine):
    """NumPy whose f or f' is another at some inputs."""

    name = "planted"

    def __init__(self, what, where, wrong, name="planted"):
        super().__init__()
        self.what, self.where, self.wrong, self.name = what, where, wrong, name

    def layer_vjp(self, case, layer, z_prev, cotangent):
        dW, db, dz = super().layer_vjp(case, layer, z_prev, cotangent)
        seen = dW if self.what == "value" else dz
        seen[:] = np.where(self.where(z_prev), self.wrong(z_prev, seen), seen)
        return dW, db, dz


def statuses(adapter, function, what, dtype="float64"):
    """input -> status of the planted engine; inputs that share a row with others are in its note."""
    with np.errstate(all="ignore"):
        found = list(functions.activation_rows([adapter], function, dtype))
    return {row["input"]: row["status"][adapter.name] for row in found if row["what"] == what}


@pytest.mark.parametrize(
    ("wrong", "status"), [(1.5, "defect"), (-0.01, "defect"), (np.nan, "defect"), (0.25, "convention")]
)
def test_a_derivative_at_a_kink(wrong, status):
    planted = Planted("derivative", lambda z: z == 0, lambda z, seen: wrong)
    assert statuses(planted, "relu", "derivative")["z = 0.0"] == status


@pytest.mark.parametrize("name", ["planted", "torch-eager"])
@pytest.mark.parametrize("what", ["value", "derivative"])
def test_off_by_a_thousandth_beyond_20_is_a_defect_even_where_something_is_known(name, what):
    planted = Planted(what, lambda z: z > 20, lambda z, seen: seen * 1.001, name)
    assert "defect" in statuses(planted, "softplus", what).values()


def test_what_torch_documents_is_an_approximation_of_torch_alone():
    for name, status in (("torch-eager", "approximation"), ("planted", "defect")):
        planted = Planted("value", lambda z: z > 70, lambda z, seen: z, name)  # 0.3 · 70 > 20
        assert set(statuses(planted, "softplus", "value").values()) == {status}


def test_nan_for_a_finite_truth_is_a_defect():
    planted = Planted("value", lambda z: z == 100, lambda z, seen: np.nan)
    assert statuses(planted, "sigmoid", "value") == {"z = 100.0": "defect"}


def test_a_wrong_number_at_infinity_is_a_defect_and_nan_a_convention():
    for wrong, status in ((0.7, "defect"), (np.nan, "convention")):
        planted = Planted("value", lambda z: z == np.inf, lambda z, seen, wrong=wrong: wrong)
        assert statuses(planted, "sigmoid", "value") == {"z = inf": status}


def test_an_honest_engine_has_only_its_kinks():
    honest = Planted("value", np.isnan, lambda z, seen: seen)
    assert statuses(honest, "sigmoid", "value") == {}
    assert set(statuses(honest, "hardtanh", "derivative")) == {"z = 1.0", "z = -1.0"}


def test_an_adapter_that_raises_has_a_defect():
    class Raises(NumpyEngine):
        def layer_vjp(self, case, layer, z_prev, cotangent):
            raise RuntimeError("no\nway")

    with np.errstate(all="ignore"):
        found = next(functions.activation_rows([Raises()], "tanh", "float32"))
    assert found["status"] == {"numpy": "defect"}
    assert found["engines"] == {"numpy": "raises RuntimeError: no way"}


def test_an_adapter_without_a_vjp_gives_its_values_alone():
    class Plain:
        name = "plain"

        def supports(self, case):
            return True

        def trace(self, case):
            trace = NumpyEngine().trace(case)
            return replace(trace, a={1: np.where(case.x == 3, 7.0, trace.a[1])})

    assert statuses(Plain(), "tanh", "value") == {"z = 3.0": "defect"}
    assert statuses(Plain(), "tanh", "derivative") == {}


class PlantedLoss(NumpyEngine):
    """NumPy whose L_i or δ is another at one logit."""

    name = "planted"

    def __init__(self, field, at, wrong):
        super().__init__()
        self.field, self.at, self.wrong = field, at, wrong

    def trace(self, case):
        trace = super().trace(case)
        if self.field == "losses":
            return replace(trace, losses=np.where(case.x[:, 0] == self.at, self.wrong, trace.losses))
        return replace(trace, delta={1: np.where(case.x == self.at, self.wrong, trace.delta[1])})


@pytest.mark.parametrize(
    ("field", "loss", "at", "wrong", "status"),
    [
        ("delta", "hinge", 1.0, -1.5, "defect"),
        ("delta", "hinge", 1.0, -0.75, "convention"),
        ("delta", "huber", 3.0, 1.01, "defect"),
        ("losses", "huber", 3.0, np.nan, "defect"),
        ("losses", "binary_cross_entropy", 50.0, 100.0, "convention"),
        ("losses", "binary_cross_entropy", 3.0, 100.0, "defect"),
    ],
)
def test_a_loss(field, loss, at, wrong, status):
    with np.errstate(all="ignore"):
        found = list(functions.loss_rows([PlantedLoss(field, at, wrong)], loss, "float64"))
    what = "value" if field == "losses" else "derivative"
    of = {
        row["status"]["planted"]
        for row in found
        if row["what"] == what and (f"z = {at!r}, y" in row["input"] + row["note"])
    }
    assert status in of


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
    monkeypatch.setattr(accuracy, "k", lambda *names: 4.0)
    found = measure.measure([engine_named("numpy"), engine_named("torch-eager")], ("float32",))
    row = named(found, "bent/derivative/float32/2.0")
    assert row["equation"] == "[0.0, 1.0]"
    assert row["status"] == {"numpy": "convention", "torch-eager": "not there"}


# --- what explains a cell


def departing(identity, function, what, status="defect", departure=1e-3, ordinary=True):
    return {
        "id": identity,
        "function": function,
        "what": what,
        "dtype": "float64",
        "status": {"torch-eager": status},
        "departure": {"torch-eager": departure},
        "ordinary": ordinary,
    }


TABLE = [
    departing("0", "softplus", "value", departure=1.0, ordinary=False),
    departing("1", "softplus", "value", "approximation"),
    departing("2", "softplus", "derivative"),
    departing("3", "huber", "value"),
    departing("4", "relu", "derivative", "convention"),
]

CELL = ("engine", "dtype", "hidden", "output", "loss")


def finding(equation, off):
    return {"equation": equation, "worst": {"observed": 1 + off, "expected": 1.0}}


@pytest.mark.parametrize(
    ("cell", "equation", "row"),
    [
        (("torch-eager", "float64", "softplus", "identity", "hinge"), "a", "1"),
        (("torch-eager", "float64", "softplus", "identity", "hinge"), "12", "1"),
        (("torch-eager", "float64", "softplus", "identity", "hinge"), "6a", "1"),
        (("torch-eager", "float64", "softplus", "identity", "hinge"), "14", "2"),
        (("torch-eager", "float64", "softplus", "identity", "hinge"), "9", None),
        (("torch-eager", "float64", "tanh", "softplus", "hinge"), "a", "1"),
        (("torch-eager", "float64", "tanh", "softplus", "hinge"), "9", "2"),
        (("torch-eager", "float64", "tanh", "softplus", "hinge"), "14", None),
        (("torch-eager", "float64", "tanh", "identity", "huber"), "8", "3"),
        (("torch-eager", "float64", "tanh", "identity", "huber"), "9", None),
        (("torch-eager", "float64", "relu", "relu", "hinge"), "14", None),
        (("torch-eager", "float64", "tanh", "softplus", "hinge"), "4", "1"),
        (("torch-eager", "float64", "tanh", "identity", "huber"), "4", "3"),
        (("torch-eager", "float64", "relu", "relu", "hinge"), "4", None),
        (("torch-eager", "float32", "softplus", "identity", "hinge"), "a", None),
        (("jax-jit", "float64", "softplus", "identity", "hinge"), "a", None),
        (("torch-eager", "float64", "softplus", "softplus", "huber"), "7a", None),
    ],
)
def test_a_cell_is_explained_by_a_departure_of_its_own_function(cell, equation, row):
    assert explains(TABLE, dict(zip(CELL, cell, strict=True)), finding(equation, 1e-3)) == row


@pytest.mark.parametrize("off", [3e-3, -1.0, math.nan, math.inf])
@pytest.mark.parametrize("equation", ["a", "14"])
def test_an_element_that_is_further_off_than_the_row_is_not_explained(equation, off):
    """Another fault of the same function does not hide behind the one that is known."""
    cell = dict(zip(CELL, ("torch-eager", "float64", "softplus", "identity", "hinge"), strict=True))
    assert explains(TABLE, cell, finding(equation, 1e-3)) is not None
    assert explains(TABLE, cell, finding(equation, off)) is None
    assert explains(TABLE, cell, {"equation": equation, "worst": None}) is None


# --- what a person sees


def test_the_terminal_shows_every_function_in_80_columns(rows):
    console = Console(file=io.StringIO(), width=80)
    console.print(terminal.terminal(rows))
    printed = console.file.getvalue()
    assert max(len(line) for line in printed.splitlines()) <= 80
    assert f"{len(rows)} rows" in printed
    assert "torch-eager" in printed
    assert "torch-eager 20.5 " in printed, "softplus is not told from 20.500000001250154"
    assert "tanh form" in printed
    for function in ("softplus", "hinge", "gelu"):
        assert function in printed
