"""Cases: their round trip, and what each misfit says."""

import dataclasses
import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from reference import activations, losses
from reference.case import SCHEMA, Case, CaseError, Trace, fits, from_json, to_json
from reference.cases import Shape, cover, draw_case
from reference.losses import LABELS, LOSSES
from reference.rounding import DTYPES, HALF, LARGEST, UNIT_ROUNDOFF, rounded
from tests.tables import over

ARRAYS = ("x", "y")


def small(**changes):
    """Two inputs, three hidden units, two outputs, two samples; every number is a float32."""
    parts = {
        "hidden": "tanh",
        "output": "sigmoid",
        "loss": "binary_cross_entropy",
        "dtype": "float32",
        "W": {1: np.array([[0.5, -1.0], [0.25, 2.0], [0.0, -0.0]]), 2: np.array([[1.0, 0.5, -0.5], [0.0, 1.0, 2.0]])},
        "b": {1: np.array([0.5, 0.0, -0.5]), 2: np.array([1.0, -1.0])},
        "x": np.array([[1.0, -2.0], [0.5, 0.75]]),
        "y": np.array([[1.0, 0.0], [0.0, 0.5]]),
    }
    return Case(**parts | changes)


def of(hidden="tanh", output="identity", loss="half_squared_error", **changes):
    """The same arrays with other functions."""
    return small(hidden=hidden, output=output, loss=loss, **changes)


def bits(array):
    return np.asarray(array, dtype="float64").view("uint64")


def identical(one, other):
    for name in ("hidden", "output", "loss", "dtype"):
        assert getattr(one, name) == getattr(other, name)
    assert {role: dict(given) for role, given in one.parameters.items()} == other.parameters
    for name in ("W", "b"):
        assert list(getattr(one, name)) == list(getattr(other, name))
        for l in one.layers:
            assert np.array_equal(bits(getattr(one, name)[l]), bits(getattr(other, name)[l])), f"{name}[{l}] differs"
    for name in ARRAYS:
        assert np.array_equal(bits(getattr(one, name)), bits(getattr(other, name))), f"{name} differs"


def refused(make, *words):
    """`make` raises CaseError with one line that has all the words."""
    with pytest.raises(CaseError) as caught:
        make()
    message = str(caught.value)
    assert "\n" not in message, f"message is {message!r}, but should be one line"
    for word in words:
        assert str(word) in message, f"message is {message!r}, but should name {word!r}"


# --- what a Case says of itself


def test_a_case_knows_its_shape():
    case = small()
    assert (list(case.layers), case.last, case.samples, case.widths) == ([1, 2], 2, 2, (2, 3, 2))
    assert [case.activation(l).name for l in (0, 1, 2)] == ["identity", "tanh", "sigmoid"]
    assert (case.f_h.name, case.f_o.name, case.criterion.name) == ("tanh", "sigmoid", "binary_cross_entropy")


def test_a_single_layer_is_the_output_layer():
    case = small(
        W={1: np.ones((2, 2))},
        b={1: np.zeros(2)},
    )
    assert (case.last, case.activation(1).name, case.widths) == (1, "sigmoid", (2, 2))


def test_another_batch_keeps_the_network():
    case = small()
    other = case.on_batch(case.x[:1], case.y[:1])
    assert other.samples == 1
    assert other.W is case.W
    refused(lambda: case.on_batch(case.x, case.y[:1]), "y has shape (1, 2)", (2, 2))


def test_other_parameters_keep_the_batch():
    case = small()
    other = case.with_parameters({l: 2 * W for l, W in case.W.items()}, case.b)
    assert np.array_equal(other.W[1], 2 * case.W[1])
    assert other.x is case.x
    refused(lambda: case.with_parameters({1: case.W[1]}, case.b), "layers", [1], [1, 2])


def test_a_case_cannot_be_changed():
    with pytest.raises(dataclasses.FrozenInstanceError):
        small().loss = "half_squared_error"


def test_a_trace_needs_loss_and_gradients_only():
    trace = Trace(loss=1.0, dW={}, db={})
    assert (trace.losses, trace.z, trace.a, trace.delta) == (None, None, None, None)


# --- round trip


@over("dtype", DTYPES)
@over("combination", cover()[::3], ids="-".join)
def test_drawn_cases_return_to_the_last_bit(combination, dtype):
    for seed in range(3):
        case = draw_case(np.random.default_rng(seed), combination, Shape((3, 4, 2, 3), 5), dtype)
        identical(from_json(to_json(case)), case)


numbers = st.floats(allow_nan=False, allow_infinity=False)
widths = st.integers(1, 3)


@st.composite
def cases(draw, dtype="float64"):
    """Any finite numbers of the format: the largest, subnormal ones, and −0.0."""
    limits = {} if dtype == "float64" else {"min_value": -LARGEST[dtype], "max_value": LARGEST[dtype]}
    width = {"float64": 64, "float16": 16}.get(dtype, 32)
    floats = st.floats(allow_nan=False, allow_infinity=False, width=width, **limits)
    if dtype == "bfloat16":
        floats = floats.map(lambda number: float(rounded(np.float64(number), dtype)))
    sizes = [draw(widths) for _ in range(draw(st.integers(2, 4)))]
    samples = draw(widths)

    def array(*shape):
        return draw(arrays("float64", shape, elements=floats))

    W = {l: array(sizes[l], sizes[l - 1]) for l in range(1, len(sizes))}
    b = {l: array(sizes[l]) for l in range(1, len(sizes))}
    x, y = array(samples, sizes[0]), array(samples, sizes[-1])
    return Case("relu", "identity", "half_squared_error", dtype, W, b, x, y)


@settings(max_examples=60)
@given(st.sampled_from(DTYPES).flatmap(cases))
def test_any_numbers_return_to_the_last_bit(case):
    identical(from_json(to_json(case)), case)


def test_signed_zeros_and_subnormals_return():
    smallest = float(np.finfo("float32").smallest_subnormal)
    case = small(x=np.array([[-0.0, 0.0], [smallest, -smallest]]))
    identical(from_json(to_json(case)), case)
    assert np.signbit(from_json(to_json(case)).x[0]).tolist() == [True, False]


def test_json_may_hold_plain_numbers():
    data = json.loads(to_json(small()))
    data["x"] = [[1, -2.0], [0.5, "0x1.8p-1"]]
    identical(from_json(json.dumps(data)), small())


def test_json_is_one_object_with_a_schema():
    data = json.loads(to_json(small()))
    assert set(data) == {"schema", "hidden", "output", "loss", "dtype", "parameters", "W", "b", "x", "y"}
    assert data["schema"] == SCHEMA
    assert data["x"][0] == ["0x1.0000000000000p+0", "-0x1.0000000000000p+1"]


# --- names


@over(
    ("field", "what", "allowed"),
    [
        ("hidden", "hidden activation", "sigmoid, tanh"),
        ("output", "output activation", "softmax"),
        ("loss", "loss", "half_squared_error"),
        ("dtype", "dtype", "float32, float64, float16, bfloat16"),
    ],
)
@over("name", ["Tanh", "", "float8", 7, None])
def test_an_unknown_name_is_refused(field, what, allowed, name):
    refused(lambda: small(**{field: name}), what, repr(name), allowed)


@pytest.mark.parametrize("name", ["softmax", "log_softmax"])
def test_a_coupled_activation_is_refused_in_a_hidden_layer(name):
    refused(lambda: small(hidden=name), "hidden activation", repr(name), "identity")


@pytest.mark.parametrize(
    ("output", "loss", "allowed"),
    [
        ("identity", "binary_cross_entropy", "sigmoid"),
        ("softmax", "binary_cross_entropy_on_logits", "sigmoid"),
        ("sigmoid", "categorical_cross_entropy", "softmax"),
        ("tanh", "categorical_cross_entropy_on_logits", "softmax"),
        ("sigmoid", "categorical_cross_entropy_with_classes", "softmax"),
        ("log_softmax", "smoothed_cross_entropy_on_logits", "softmax"),
        ("softmax", "negative_log_likelihood", "log_softmax"),
        ("softmax", "kullback_leibler", "log_softmax"),
        ("relu", "cosine_distance", "leaky_relu"),
        ("softshrink", "cosine_distance", "tanhshrink"),
    ],
)
def test_a_loss_is_refused_on_the_wrong_output(output, loss, allowed):
    assert not fits(output, loss)
    assert fits(allowed, loss)
    refused(lambda: small(output=output, loss=loss), repr(loss), repr(output), allowed)


# --- shapes

FULL = small()


@over(
    ("changes", "words"),
    [
        ({"W": {1: FULL.W[1]}}, ["W", [1], "b", [1, 2]]),
        ({"b": {1: FULL.b[1]}}, ["W", [1, 2], "b", [1]]),
        ({"W": {1: FULL.W[1], 3: FULL.W[2]}, "b": {1: FULL.b[1], 3: FULL.b[2]}}, [[1, 3], "1 … L-1"]),
        ({"W": {0: FULL.W[1], 1: FULL.W[2]}, "b": {0: FULL.b[1], 1: FULL.b[2]}}, [[0, 1], "1 … L-1"]),
        ({"W": {}, "b": {}}, ["[]", "1 … L-1"]),
        ({"W": {1: FULL.W[1].T, 2: FULL.W[2]}}, ["W[1]", (2, 3), "(units, 2)"]),
        ({"W": {1: FULL.W[1], 2: FULL.W[2].T}}, ["W[2]", (3, 2), "(units, 3)"]),
        ({"W": {1: FULL.W[1][0], 2: FULL.W[2]}}, ["W[1]", (2,), "(units, 2)"]),
        ({"W": {1: FULL.W[1][:0], 2: FULL.W[2]}}, ["W[1]", (0, 2), "(units, 2)"]),
        ({"b": {1: FULL.b[1][:2], 2: FULL.b[2]}}, ["b[1]", (2,), (3,)]),
        ({"b": {1: FULL.b[1], 2: FULL.b[2][np.newaxis]}}, ["b[2]", (1, 2), (2,)]),
        ({"x": FULL.x[0]}, ["x", (2,), "(samples, inputs)"]),
        ({"x": FULL.x[:0]}, ["x", (0, 2), "(samples, inputs)"]),
        ({"x": FULL.x[:, :0]}, ["x", (2, 0), "(samples, inputs)"]),
        ({"x": FULL.x[:, :1]}, ["W[1]", (3, 2), "(units, 1)"]),
        ({"y": FULL.y[:1]}, ["y", (1, 2), (2, 2)]),
        ({"y": FULL.y[:, :1]}, ["y", (2, 1), (2, 2)]),
        ({"y": FULL.y[:, 0]}, ["y", (2,), (2, 2)]),
    ],
)
def test_a_misfit_shape_is_refused(changes, words):
    refused(lambda: small(**changes), *words)


# --- numbers


def changed(array, value, index):
    array = array.copy()
    array[index] = value
    return array


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_a_number_that_is_not_finite_is_refused(value, dtype):
    for field in ("W", "b"):
        array = getattr(FULL, field)[2]
        index = (1,) * array.ndim
        layers = {1: getattr(FULL, field)[1], 2: changed(array, value, index)}
        refused(
            lambda field=field, layers=layers: small(dtype=dtype, **{field: layers}), f"{field}[2]", value, "finite"
        )
    for field in ARRAYS:
        array = changed(getattr(FULL, field), value, (1, 0))
        refused(lambda field=field, array=array: small(dtype=dtype, **{field: array}), field, (1, 0), value, "finite")


def beyond(dtype):
    """Numbers that a format does not hold: a decimal, one between two neighbours, one too large, one too small."""
    smallest = {"float16": 2.0**-24, "bfloat16": 2.0**-133, "float32": 2.0**-149}[dtype]
    return 0.1, 1 + UNIT_ROUNDOFF[dtype], 2 * LARGEST[dtype], smallest / 2, 1.5 * smallest


@pytest.mark.parametrize(("dtype", "value"), [(dtype, v) for dtype in ("float32", *HALF) for v in beyond(dtype)])
def test_a_number_that_the_format_cannot_hold_is_refused(dtype, value):
    x = changed(FULL.x, value, (0, 1))
    refused(lambda: small(x=x, dtype=dtype), "x at (0, 1)", value, dtype)
    assert small(x=x, dtype="float64").x[0, 1] == value


@pytest.mark.parametrize(
    ("dtype", "value"),
    [
        *[("float32", v) for v in (2.0**-149, 1 + 2.0**-23, LARGEST["float32"])],
        *[("float16", v) for v in (2.0**-24, 1 + 2.0**-10, 65504.0)],
        *[("bfloat16", v) for v in (2.0**-133, 1 + 2.0**-7, LARGEST["bfloat16"])],
    ],
)
def test_a_number_that_the_format_holds_is_taken(dtype, value):
    assert small(x=changed(FULL.x, value, (0, 1)), dtype=dtype).x[0, 1] == value


# --- labels

WRONG_LABELS = {
    "real": ([[0.0, np.nan], [np.inf, 1.0]], [[-7.0, 0.0], [2.5, 1e3]]),
    "direction": ([[0.0, 0.0], [0.0, np.nan]], [[0.0, -3.0], [1.0, 2.0]]),
    "sign": ([[1.0, 0.0], [-0.5, 2.0]], [[1.0, -1.0], [-1.0, -1.0]]),
    "count": ([[0.0, -1.0], [-0.5, -(2.0**-149)]], [[0.0, 3.0], [2.0, 700.0]]),
    "probability": ([[0.5, -0.5], [1.5, -(2.0**-149)]], [[0.0, 1.0], [1.0, 1.0]]),
    "distribution": ([[0.5, -0.5], [1.5, 1 + 2.0**-23]], [[0.0, 1.0], [0.25, 0.75]]),
    "class": ([[1.0, 1.0], [0.0, 0.0], [0.5, 0.5], [2.0, -1.0]], [[0.0, 1.0], [1.0, 0.0]]),
}
"""Rows of labels that are none of their kind, and two that are."""


@pytest.mark.parametrize("kind", LABELS)
def test_labels_that_do_not_fit_the_loss_are_refused(kind):
    assert set(WRONG_LABELS) == set(LABELS)
    wrong, right = WRONG_LABELS[kind]
    for name, loss in LOSSES.items():
        if loss.labels != kind:
            continue
        output = loss.outputs[0] if loss.outputs else "identity"
        y = np.array(right)
        assert of(output=output, loss=name, y=y).y is y
        for row in wrong:
            words = ("finite",) if not np.isfinite(row).all() else (LABELS[kind][1],)
            changes = {"output": output, "loss": name, "y": np.array([right[0], row])}
            refused(lambda changes=changes: of(**changes), "y at (1,", *words)


@over("value", [-0.5, 1.5, -(2.0**-149), 1 + 2.0**-23])
@over(
    ("output", "loss"),
    [
        ("sigmoid", "binary_cross_entropy"),
        ("sigmoid", "binary_cross_entropy_on_logits"),
        ("softmax", "categorical_cross_entropy"),
        ("softmax", "categorical_cross_entropy_on_logits"),
    ],
)
def test_a_label_that_is_no_probability_is_refused(output, loss, value):
    y = changed(FULL.y, value, (1, 1))
    refused(lambda: small(output=output, loss=loss, y=y), "y at (1, 1)", value, "between 0 and 1")
    assert small(output=output, loss="half_squared_error", y=y).y[1, 1] == value


# --- parameters

FAMILIES = [
    *[
        ("hidden", name, parameter)
        for name in activations.FAMILIES
        for parameter in activations.ACTIVATIONS[name].parameters
    ],
    *[
        ("output", name, parameter)
        for name in activations.FAMILIES
        for parameter in activations.ACTIVATIONS[name].parameters
    ],
    *[("loss", name, parameter) for name in losses.FAMILIES for parameter in LOSSES[name].parameters],
]
"""Role, function and parameter."""

families = over(("role", "name", "parameter"), FAMILIES)


def parametrised(role, name, parameters, **changes):
    """A Case with a function of that name in that role, and its parameters."""
    output = {"smoothed_cross_entropy_on_logits": "softmax"}.get(name, "identity")
    names = {"hidden": "tanh", "output": output, "loss": "half_squared_error"} | {role: name}
    y = np.array([[1.0, 0.0], [0.0, 1.0]])
    return of(**names, y=y, parameters={role: parameters}, **changes)


def test_every_function_with_parameters_has_a_family():
    for table, made in ((activations.ACTIVATIONS, activations.FAMILIES), (LOSSES, losses.FAMILIES)):
        assert {name for name, f in table.items() if f.parameters} == set(made)


@families
def test_a_case_binds_the_parameters_of_its_functions(role, name, parameter):
    usual = (LOSSES if role == "loss" else activations.ACTIVATIONS)[name]
    case = parametrised(role, name, {})
    bound = {"hidden": "f_h", "output": "f_o", "loss": "criterion"}[role]
    assert case.parameters_of(role) == usual.parameters
    assert getattr(case, bound) is usual
    case = parametrised(role, name, {parameter: 0.25})
    f = getattr(case, bound)
    assert case.parameters_of(role) == f.parameters == usual.parameters | {parameter: 0.25}
    p, y = np.array([[-3.0, 0.375]]), np.array([[1.0, 0.0]])
    arguments = (p, y) if role == "loss" else (p,)
    assert (f.value(*arguments) != usual.value(*arguments)).any()
    assert case.activation(1) == case.f_h if role != "hidden" else case.activation(1).parameters == f.parameters


def test_a_function_without_parameters_has_none():
    case = small()
    assert [dict(case.parameters_of(role)) for role in ("hidden", "output", "loss")] == [{}, {}, {}]


@families
@over("value", [0.0, -0.0, -0.5, np.nan, np.inf, -np.inf])
def test_a_parameter_that_is_no_positive_number_is_refused(role, name, parameter, value):
    refused(
        lambda: parametrised(role, name, {parameter: value}),
        parameter,
        role,
        repr(name),
        repr(value),
        "positive number",
    )


@families
def test_an_unknown_parameter_is_refused(role, name, parameter):
    refused(lambda: parametrised(role, name, {"gain": 1.0}), role, repr(name), "'gain'", f"it has {parameter}")
    refused(lambda: parametrised(role, name, {parameter.title(): 1.0}), repr(parameter.title()), parameter)


@pytest.mark.parametrize(("role", "name"), [("hidden", "tanh"), ("output", "sigmoid"), ("loss", "half_squared_error")])
def test_a_parameter_of_a_function_without_any_is_refused(role, name):
    refused(lambda: parametrised(role, name, {"slope": 0.1}), role, repr(name), "'slope'", "it has none")


@pytest.mark.parametrize("role", ["Hidden", "criterion", "", "f_h"])
def test_a_misspelt_role_is_refused(role):
    refused(lambda: small(parameters={role: {}}), repr(role), "hidden, output or loss")
    refused(lambda: small(parameters={"hidden": {}, role: {}}), repr(role), "hidden, output or loss")


@pytest.mark.parametrize("value", [1 + 2.0**-52, 1.5, 100.0])
def test_a_smoothing_above_1_is_refused(value):
    name = "smoothed_cross_entropy_on_logits"
    refused(lambda: parametrised("loss", name, {"smoothing": value}), "smoothing", repr(value), "at most 1")
    assert parametrised("loss", name, {"smoothing": 1.0}).parameters_of("loss") == {"smoothing": 1.0}


@over("dtype", DTYPES)
@over("role", ["hidden", "output"])
@over("name", ["softshrink", "hardshrink"])
def test_a_kink_between_two_numbers_of_the_format_is_refused(role, name, dtype):
    """An engine would round the threshold, and the audit would not know which numbers are at the kink."""
    if dtype == "float64":
        assert parametrised(role, name, {"threshold": 0.3}, dtype=dtype).parameters_of(role) == {"threshold": 0.3}
        return
    refused(lambda: parametrised(role, name, {"threshold": 0.3}, dtype=dtype), repr(name), "kink at -0.3", dtype)
    nearest = float(rounded(np.float64(0.3), dtype))
    case = parametrised(role, name, {"threshold": nearest}, dtype=dtype)
    assert case.parameters_of(role) == {"threshold": nearest}
    assert parametrised(role, name, {}, dtype=dtype).parameters_of(role) == {"threshold": 0.5}


positive = st.floats(min_value=2.0**-1074, max_value=1.0, exclude_min=False)


@settings(max_examples=40)
@given(st.sampled_from([family for family in FAMILIES if family[2] != "threshold"]), positive)
def test_any_parameter_returns_from_json_to_the_last_bit(family, value):
    role, name, parameter = family
    case = parametrised(role, name, {parameter: value})
    back = from_json(to_json(case))
    identical(back, case)
    assert back.parameters[role][parameter].hex() == value.hex()


def test_a_case_of_both_roles_keeps_them_apart():
    given_ = {"hidden": {"slope": 0.1}, "output": {"slope": 0.3}, "loss": {"delta": 1 / 3}}
    case = of("leaky_relu", "leaky_relu", "huber", parameters=given_)
    back = from_json(to_json(case))
    assert back.parameters == given_
    assert (back.f_h.parameters["slope"], back.f_o.parameters["slope"]) == (0.1, 0.3)
    assert back.on_batch(case.x, case.y).parameters == back.with_parameters(case.W, case.b).parameters == given_


# --- JSON


def edited(**changes):
    return json.dumps(json.loads(to_json(FULL)) | changes)


def without(*fields):
    return json.dumps({name: value for name, value in json.loads(to_json(FULL)).items() if name not in fields})


WORDS = ["hexadecimal", "0x", "", "1.5 2.5"]


@over(
    ("text", "words"),
    [
        ("", ["JSON"]),
        ("{", ["JSON", "line 1"]),
        ("{\n\n'x'}", ["JSON", "line 3"]),
        (to_json(FULL)[:-20], ["JSON"]),
        ("[]", ["list", SCHEMA]),
        ("3", ["int", SCHEMA]),
        ("null", ["NoneType", SCHEMA]),
        ("{}", ["None", SCHEMA]),
        (edited(schema="backprop-parity/case/1"), ["backprop-parity/case/1", SCHEMA]),
        (without("schema"), ["None", SCHEMA]),
        (without("y"), ["'W', 'b', 'dtype', 'hidden', 'loss', 'output', 'parameters', 'x'", "'y'"]),
        (without("loss", "W"), ["'b', 'dtype', 'hidden', 'output', 'parameters', 'x', 'y'", "'loss'"]),
        (without("parameters"), ["'W', 'b', 'dtype', 'hidden', 'loss', 'output', 'x', 'y'", "'parameters'"]),
        (edited(seed=3), ["'seed'"]),
        (edited(W={"1": []}), ["W is {'1': []}", "list"]),
        (edited(b="0x1p0"), ["b is '0x1p0'", "list"]),
        (edited(W=None), ["W is None", "list"]),
        (edited(W=[]), ["layers of W are []"]),
        (edited(x=[[1, 2], [3]]), ["x is not an array of numbers"]),
        (edited(x=[[1, 2], 3]), ["x is not an array of numbers"]),
        (edited(W=[[[1, 2], [3]], [[1]]]), ["W[1] is not an array of numbers"]),
        (edited(x=[[1, None], [3, 4]]), ["x is not an array of numbers", "NoneType"]),
        (edited(x=[[1, {}], [3, 4]]), ["x is not an array of numbers", "dict"]),
        *[(edited(x=[[1, word], [3, 4]]), ["x is not an array of numbers", "hexadecimal"]) for word in WORDS],
        (edited(x=[[1, "0x1p5000"], [3, 4]]), ["x is not an array of numbers", "too large"]),
        (edited(x=[[1, 10**400], [3, 4]]), ["x is not an array of numbers", "too large"]),
        (edited(x=[[1, "nan"], [3, 4]]), ["x at (0, 1) is nan", "finite"]),
        (edited(x=[[1, float("inf")], [3, 4]]), ["x at (0, 1) is inf", "finite"]),
        (edited(x=3), ["x has shape ()", "(samples, inputs)"]),
        (edited(x=[[[1, 2], [3, 4]]]), ["x has shape (1, 2, 2)", "(samples, inputs)"]),
        (edited(x=[]), ["x has shape (0,)", "(samples, inputs)"]),
        (edited(hidden=["tanh"]), ["hidden activation", "['tanh']"]),
        (edited(loss={}), ["loss", "{}"]),
        (edited(dtype="float8"), ["dtype", "'float8'", "float32"]),
        (edited(parameters=None), ["parameters are None", "object of objects"]),
        (edited(parameters=[]), ["parameters are []", "object of objects"]),
        (edited(parameters={"hidden": 0.1}), ["parameters are {'hidden': 0.1}", "object of objects"]),
        (edited(parameters={"hidden": ["slope", 0.1]}), ["'slope'", "object of objects"]),
        (edited(parameters={"hiden": {}}), ["'hiden'", "hidden, output or loss"]),
        (edited(parameters={"hidden": {"slope": 0.1}}), ["hidden 'tanh'", "'slope'", "it has none"]),
        (edited(hidden="leaky_relu", parameters={"hidden": {"Slope": 1}}), ["'leaky_relu'", "'Slope'", "it has slope"]),
        (edited(hidden="leaky_relu", parameters={"hidden": {"slope": 0}}), ["slope", "0.0", "positive number"]),
        (edited(hidden="leaky_relu", parameters={"hidden": {"slope": "nan"}}), ["slope", "nan", "positive number"]),
        (edited(hidden="leaky_relu", parameters={"hidden": {"slope": "inf"}}), ["slope", "inf", "positive number"]),
        (edited(hidden="leaky_relu", parameters={"hidden": {"slope": None}}), ["slope is not an array", "NoneType"]),
        (edited(hidden="leaky_relu", parameters={"hidden": {"slope": {}}}), ["slope is not an array", "dict"]),
        (
            edited(hidden="leaky_relu", parameters={"hidden": {"slope": "steep"}}),
            ["slope is not an array", "hexadecimal"],
        ),
        (edited(hidden="leaky_relu", parameters={"hidden": {"slope": [0.1]}}), ["slope has shape (1,)", "a number"]),
        (edited(hidden="leaky_relu", parameters={"hidden": {"slope": "0x1p5000"}}), ["slope", "too large"]),
        (edited(hidden="softshrink", parameters={"hidden": {"threshold": 0.3}}), ["kink at -0.3", "float32"]),
        (edited(y=[[2, 0], [0, 0]]), ["y at (0, 0) is 2.0", "between 0 and 1"]),
        (edited(x=[[0.1, 0], [0, 0]]), ["x at (0, 0) is 0.1", "float32"]),
    ],
)
def test_a_text_that_is_no_case_is_refused(text, words):
    refused(lambda: from_json(text), *words)


@pytest.mark.parametrize("depth", [70, 500, 100_000])
def test_a_text_nested_too_deep_is_refused(depth):
    nested = "[" * depth + "1" + "]" * depth
    refused(lambda: from_json(edited(x=0).replace('"x": 0', f'"x": {nested}')))
    refused(lambda: from_json(nested))


def test_an_integer_too_long_to_read_is_refused():
    """Python reads no decimal integer of more than 4300 digits."""
    refused(lambda: from_json(edited(x=0).replace('"x": 0', f'"x": {"9" * 5000}')))
