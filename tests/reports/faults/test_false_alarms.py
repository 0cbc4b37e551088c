"""The campaign of false alarms: what is drawn, that every break is counted, and that a journal is gone on with."""

import json
from collections import Counter
from dataclasses import replace
from itertools import product

import numpy as np
import pytest

from adapters.numpy.engine import NumpyEngine
from reference.activations import HIDDEN
from reference.audit import audit
from reference.case import Case, to_json
from reference.cases import COMBINATIONS, LARGEST_IN_HALF, LARGEST_TOTAL_INPUT
from reference.losses import LOSSES
from reference.network import trace as reference_trace
from reference.rounding import DTYPES, HALF, LARGEST, LIMITS
from reports.faults import adversarial_cases, false_alarms
from reports.faults.adversarial_cases import KINDS, STRETCH, Unanswerable, answerable, case_of, combination_of, drawn
from reports.faults.false_alarms import (
    JOURNAL,
    Turn,
    begins,
    broken,
    findings_of,
    header,
    judged,
    measure,
    quotas,
    replay,
    run_turn,
    summary,
    turns,
)
from reports.results.files import ResultsError, jsonable
from reports.results.journal import append, opened
from reports.running.engines import loaded
from tests.arithmetics import arithmetic

SEED = 2026
CASES = 12


def cases_of(kind, dtype, count=CASES):
    """The first Cases of a kind that have an answer."""
    found = []
    for index in range(count):
        try:
            found.append(case_of(SEED, kind, dtype, index))
        except Unanswerable:
            continue
    assert found, f"no Case of {kind!r} in {dtype} has an answer"
    return found


def inputs_of(case):
    """z of every layer."""
    return reference_trace(case).z


# --- what is drawn


@pytest.mark.parametrize("kind", KINDS)
def test_seed_kind_dtype_and_index_make_the_same_case_again(kind, dtype):
    one, again, other, seeded = (
        to_json(case_of(seed, kind, dtype, index)) for seed, index in ((SEED, 5), (SEED, 5), (SEED, 6), (1, 5))
    )
    assert one == again
    assert len({one, other, seeded}) == 3


@pytest.mark.parametrize("kind", KINDS)
def test_every_case_has_the_shape_and_the_combination_of_its_place(kind, dtype):
    for index in (0, 7, STRETCH):
        case = case_of(SEED, kind, dtype, index)
        assert (case.widths, case.samples) == KINDS[kind].shape
        assert (case.hidden, case.output, case.loss) == combination_of(kind, dtype, index)
        assert case.dtype == dtype


def test_combinations_go_through_one_hidden_activation_after_another_and_leave_none_out():
    indices = range(STRETCH * len(HIDDEN))
    by_stretch = [
        {combination_of("kinks", "float32", i).hidden for i in indices[start:][:STRETCH]}
        for start in indices[::STRETCH]
    ]
    assert all(len(hidden) == 1 for hidden in by_stretch)
    assert set.union(*by_stretch) == set(HIDDEN)
    seen = {combination_of(kind, dtype, i) for kind, dtype, i in product(KINDS, DTYPES, indices)}
    assert seen == set(COMBINATIONS)


def test_usual_and_drawn_parameters_both_occur():
    given = [bool(case_of(SEED, "ordinary", "float32", i).parameters) for i in range(20)]
    assert {True, False} == set(given)


@pytest.mark.parametrize("kind", [kind for kind in KINDS if not KINDS[kind].beyond])
def test_the_kinds_that_do_not_go_beyond_stay_within_what_a_campaign_draws(kind, dtype):
    for case in cases_of(kind, dtype):
        assert max(np.abs(z).max() for z in inputs_of(case).values()) <= LARGEST_TOTAL_INPUT * 1.01


@pytest.mark.parametrize("kind", [kind for kind in KINDS if KINDS[kind].beyond])
def test_the_kinds_that_go_beyond_do(kind, dtype):
    largest = [max(np.abs(z).max() for z in inputs_of(case).values()) for case in cases_of(kind, dtype)]
    assert max(largest) > 2 * LARGEST_TOTAL_INPUT


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("dtype", ["float32", "float16"], indirect=True)
def test_no_probability_is_near_a_pole(kind, dtype, monkeypatch):
    names = next(names for names in COMBINATIONS if names.loss == "binary_cross_entropy")
    for module in (adversarial_cases, false_alarms):
        monkeypatch.setattr(module, "combination_of", lambda *place: names)
    for case in cases_of(kind, dtype, 4):
        limit = LARGEST_IN_HALF if dtype in HALF else LARGEST_TOTAL_INPUT
        assert np.abs(inputs_of(case)[case.last]).max() <= limit * 1.01


def test_kinks_are_met_exactly_and_by_one_number_beside_them(dtype):
    exact, beside = 0, 0
    for case in cases_of("kinks", dtype, 60):
        z = NumpyEngine().trace(case).z[1]
        points = [0.0, 1.0, -1.0, *(kink.at for kink in case.activation(1).kinks)]
        off = np.min([np.abs(z - point) for point in points], axis=0)
        exact += (off == 0).any()
        beside += ((off > 0) & (off <= 2**-6)).any()
    assert exact >= 50
    assert beside >= 1


@pytest.mark.parametrize("loss", ["absolute_error", "huber"])
def test_residuals_meet_the_bends_of_a_loss(loss, monkeypatch):
    names = next(names for names in COMBINATIONS if names.loss == loss and names[:2] == ("relu", "identity"))
    for module in (adversarial_cases, false_alarms):
        monkeypatch.setattr(module, "combination_of", lambda *place: names)
    at = []
    for case in cases_of("kinks", "float32"):
        trace = NumpyEngine().trace(case)
        r = np.abs(trace.a[case.last] - case.y)
        at.append(np.isin(r, [0.0, *case.criterion.parameters.values()]).mean())
    assert np.mean(at) > 0.2  # of an ordinary draw: none


def test_subnormal_numbers_occur_in_every_place(dtype):
    normal, seen = float(LIMITS[dtype].smallest_normal), Counter()
    for case in cases_of("subnormal", dtype, 20):
        arrays = {"x": case.x, **{f"W{l}": case.W[l] for l in case.layers}, **{f"b{l}": case.b[l] for l in case.layers}}
        seen.update(name for name, array in arrays.items() if ((array != 0) & (np.abs(array) < normal)).any())
    assert set(seen) == {"x", "W1", "W2", "W3", "b1", "b2", "b3"}


def test_whole_arrays_are_zero(dtype):
    cases = cases_of("zeros", dtype, 20)
    assert any(not case.W[2].any() for case in cases)
    assert any(not case.b[3].any() for case in cases)
    assert any(not case.x.any() for case in cases)
    assert any(case.W[2].any() and not case.W[2].any(axis=1).all() for case in cases)


def test_sums_cancel(dtype):
    worst = []
    for case in cases_of("cancelling", dtype):
        size = np.abs(case.x) @ np.abs(case.W[1]).T
        worst.append((size / np.abs(case.x @ case.W[1].T)).max())
    assert np.median(worst) > 100


def test_tiny_weights_are_and_huge_ones_too():
    tiny, usual, huge = (
        np.median([np.abs(case.W[1]).max() for case in cases_of(kind, "float32", 30)])
        for kind in ("tiny weights", "ordinary", "huge weights")
    )
    assert tiny < usual / 16 < usual * 4 < huge


def one_layer(y, output="identity", loss="half_squared_error", x=1.0, dtype="float16"):
    return Case("identity", output, loss, dtype, {1: np.eye(2)}, {1: np.zeros(2)}, np.full((1, 2), x), np.array([y]))


def test_what_has_no_answer_is_none():
    assert answerable(one_layer([0.0, 0.0]))
    assert answerable(one_layer([1.0, 0.0], loss="cosine_distance"))
    with np.errstate(all="ignore"):
        assert not answerable(one_layer([1.0, 0.0], loss="cosine_distance", x=0.0))  # no direction
        assert not answerable(one_layer([0.0, 0.0], x=512.0))  # ½ 512² is above 65504
    assert answerable(one_layer([0.0, 0.0], x=512.0, dtype="bfloat16"))


def test_what_is_too_large_on_the_way_has_no_answer():
    """δW of 1.6·10⁴ times 8 is above 65504, though f' makes it 0; and so is a sum whose terms cancel."""

    def of(W, x, hidden="relu", b=0.0):
        layers = {1: np.eye(2), 2: np.array([W])}
        biases = {1: np.full(2, b), 2: np.zeros(1)}
        return Case(hidden, "identity", "half_squared_error", "float16", layers, biases, np.array([x]), np.ones((1, 1)))

    assert answerable(of([1.0, 1.0], [-2.0, -2.0]))
    assert not answerable(of([4e4, 1.0], [-2.0, -2.0]))
    assert answerable(of([1e4, -1e4], [1.0, 1.0], "identity"))
    assert not answerable(of([1e4, -1e4], [2.0, 2.0], "identity"))


def test_a_factor_that_is_too_large_has_no_answer():
    """∂L/∂a = 1/‖a‖ of 10⁵ is above 65504, though σ' makes it 0."""

    def of(z):
        return one_layer([1.0, 0.0], "sigmoid", "cosine_distance", z)

    assert answerable(of(-7.0))
    assert not answerable(of(-11.5))


def test_a_vector_that_its_roundings_may_make_0_has_no_direction():
    def of(x):
        return one_layer([1.0, 0.0], "tanh", "cosine_distance", x, "float32")

    assert answerable(of(2.0**-100))
    with np.errstate(all="ignore"):
        assert not answerable(of(2.0**-126))
        assert not answerable(of(2.0**-140))


def test_every_drawn_case_has_an_answer(dtype):
    for kind in KINDS:
        for case in cases_of(kind, dtype, 4):
            found = reference_trace(case)
            for part in (found.z, found.a, found.delta, found.dW):
                assert all(np.abs(array).max() < LARGEST[dtype] for array in part.values())
            assert np.isfinite(found.loss)


def test_a_combination_without_an_answer_says_so(monkeypatch):
    names = next(names for names in COMBINATIONS if names[1:] == ("log_softmax", "cosine_distance"))
    for module in (adversarial_cases, false_alarms):
        monkeypatch.setattr(module, "combination_of", lambda *place: names)
    with pytest.raises(Unanswerable, match="log_softmax, cosine_distance: none of 1000 draws of 'single unit'"):
        drawn(SEED, "single unit", "float32", 0)


def test_draws_without_an_answer_are_counted():
    assert sum(drawn(SEED, "saturated", "float16", index)[1] for index in range(30)) > 0


# --- what is found


@pytest.fixture
def turn_of(monkeypatch, tmp_path):
    """The chunks that one turn of an adapter writes."""

    def chunks(adapter, dtype="float32", cases=6, kinds=("ordinary",), spec="ours", start=0):
        monkeypatch.setattr(false_alarms, "loaded", lambda spec, device: adapter)
        journal = tmp_path / f"{len(list(tmp_path.iterdir()))}.jsonl"
        done = run_turn((Turn(spec, "cpu", dtype, SEED, tuple((kind, start, cases) for kind in kinds)), journal))
        found = [json.loads(line) for line in journal.read_text().splitlines()]
        assert done == sum(chunk["cases"] for chunk in found)
        return found

    return chunks


def wrong(change=lambda trace: trace, **members):
    """NumPy with another trace, or with other members."""

    class Wrong(NumpyEngine):
        def trace(self, case):
            return change(NumpyEngine.trace(self, case))

    for name, member in members.items():
        setattr(Wrong, name, member)
    return Wrong()


def counted(chunks, rows=()):
    return summary(chunks, rows, SEED)


@pytest.mark.parametrize(
    ("name", "dtype", "kinds", "cases"),
    [
        *(("numpy", dtype, tuple(KINDS), 4) for dtype in DTYPES),
        # of torch's float64, hardsigmoid and celu are listed divergences
        *(("torch-eager", dtype, tuple(KINDS), 4) for dtype in DTYPES if dtype != "float64"),
        *(("jax-jit", dtype, ("kinks", "single unit"), 2) for dtype in ("float32", "bfloat16")),  # it compiles
    ],
)
def test_an_honest_engine_raises_no_alarm(engine_named, turn_of, name, dtype, kinds, cases):
    found = counted(turn_of(engine_named(name), dtype, cases, kinds, spec=name))
    assert not found["alarms"], found["alarms"][0]
    assert found["cases"] == cases * len(kinds)
    assert found["numbers"] > 10 * found["cases"]
    assert all(0 <= item["worst"] <= 1 for item in found["by"])


def test_numbers_are_those_of_the_audit_and_of_the_composed_equations(turn_of):
    chunk = turn_of(NumpyEngine(), cases=1)[0]
    case = case_of(SEED, "ordinary", "float32", 0)
    of_audit = sum(finding.elements for finding in audit(case, NumpyEngine().trace(case)))
    # beside them (12) for z of layers 2 and 3, and (10a) and (10b) of the last
    assert chunk["numbers"] == of_audit + 8 * (4 + 6) + 6 * 4 + 6


def off_by_a_hundredth(trace):
    return replace(trace, db={**trace.db, 2: trace.db[2] * 1.01})


def test_every_case_of_a_wrong_engine_is_an_alarm_with_its_place(turn_of):
    found = counted(turn_of(wrong(off_by_a_hundredth), cases=8))
    places = {(alarm["index"], alarm["equation"], alarm["layer"]) for alarm in found["alarms"]}
    assert places == {(index, "7b", 2) for index in range(8)}
    assert found["by"][0]["alarms"] == len(found["alarms"]) == 8
    first = found["alarms"][0]
    assert first["ratio"] > 1
    assert first["seed"] == SEED
    assert tuple(first["combination"]) == combination_of("ordinary", "float32", 0)
    assert {"index", "observed", "expected", "allowed"} == set(first["worst"])
    assert first["replay"] == "reports.faults.false_alarms.replay('ours', 2026, 'ordinary', 'float32', 0)"


def test_an_alarm_is_replayed(turn_of, monkeypatch):
    adapter = wrong(off_by_a_hundredth)
    recorded = counted(turn_of(adapter, cases=3))["alarms"]
    for alarm in recorded:
        again = replay("ours", alarm["seed"], alarm["kind"], alarm["dtype"], alarm["index"])
        seen = [finding for finding in again if not finding.holds]
        assert [(f.equation, f.layer, f.ratio) for f in seen] == [(alarm["equation"], alarm["layer"], alarm["ratio"])]


@pytest.mark.parametrize(
    ("adapter", "reason"),
    [
        (wrong(lambda trace: {}["gone"]), "KeyError: 'gone'"),
        (wrong(lambda trace: replace(trace, dW={})), "malformed trace: dW of layer 1 is missing"),
        (wrong(lambda trace: replace(trace, z=None)), "malformed trace: z, a or delta is missing"),
    ],
    ids=["raises", "malformed", "black box"],
)
def test_what_gives_no_finding_is_an_alarm(turn_of, adapter, reason):
    found = counted(turn_of(adapter, cases=2))
    assert [alarm["reason"] for alarm in found["alarms"]] == [reason] * 2


def test_nan_is_an_alarm(turn_of):
    found = counted(turn_of(wrong(lambda trace: replace(trace, loss=float("nan"))), cases=2))
    assert [(alarm["equation"], alarm["ratio"]) for alarm in found["alarms"]] == [("1", "NaN")] * 2
    json.dumps(jsonable(found), allow_nan=False)


def test_nothing_compared_is_an_alarm(turn_of, monkeypatch):
    monkeypatch.setattr(false_alarms, "findings_of", lambda *given: [])
    assert [alarm["reason"] for alarm in counted(turn_of(NumpyEngine(), cases=2))["alarms"]] == ["no finding"] * 2


def test_what_an_engine_lacks_is_not_counted_as_audited(turn_of):
    def supports(self, case):
        return True if case.loss == "huber" else f"only huber, not {case.loss}"

    found = counted(turn_of(wrong(supports=supports), cases=4))
    assert found["cases"] == 4
    assert {item["reason"] for item in found["not_run"]} <= {f"only huber, not {loss}" for loss in LOSSES}
    assert sum(item["cases"] for item in found["not_run"]) > 4


def test_an_engine_that_supports_nothing_ends(turn_of):
    found = counted(turn_of(wrong(supports=lambda self, case: "nothing"), cases=2))
    assert (found["cases"], found["numbers"]) == (0, 0)
    (item,) = found["not_run"]
    assert item["reason"] == "nothing"
    assert item["cases"] >= STRETCH * len(HIDDEN)


def test_the_worst_ratio_is_kept_with_its_equation(turn_of):
    chunks = turn_of(NumpyEngine(), cases=STRETCH + 5)
    assert [(chunk["start"], chunk["stop"]) for chunk in chunks] == [(0, STRETCH), (STRETCH, STRETCH + 5)]
    (item,) = counted(chunks)["by"]
    ratio, equation = max(chunk["worst"] for chunk in chunks)
    assert 0 < ratio <= item["worst"] <= ratio * 1.001
    assert item["equation"] == equation


# --- what is explained


def row(function="hardsigmoid", what="derivative", ordinary=True, departure=1e-3, status="defect", z=50.0):
    about = {"id": f"{function}/{what}", "function": function, "what": what, "dtype": "float64", "ordinary": ordinary}
    about |= {"input": f"z = {z!r}", "note": "The reason is not known."}
    return {**about, "status": {"torch-eager": status}, "departure": {"torch-eager": departure}}


def unheld(equation, observed=1.001, expected=1.0):
    worst = {"index": [0, 0], "observed": observed, "expected": expected, "allowed": 1e-9}
    return {"equation": equation, "layer": 1, "ratio": 5.0, "worst": worst}


@pytest.fixture
def of_hardsigmoid(monkeypatch):
    names = next(names for names in COMBINATIONS if names[:2] == ("hardsigmoid", "identity"))
    for module in (adversarial_cases, false_alarms):
        monkeypatch.setattr(module, "combination_of", lambda *place: names)

    def judge(findings, rows, kind="ordinary", dtype="float64"):
        unexplained, named = judged(findings, rows, "torch-eager", (SEED, kind, dtype, 0))
        return [finding["equation"] for finding in unexplained], named

    return judge


def test_a_listed_divergence_explains_and_is_named(of_hardsigmoid):
    assert of_hardsigmoid([unheld("14")], [row()]) == ([], ["hardsigmoid/derivative"])


@pytest.mark.parametrize(
    ("finding", "rows", "dtype"),
    [
        (unheld("14"), [], "float64"),
        (unheld("14"), [row()], "float32"),
        (unheld("14"), [row("celu")], "float64"),
        (unheld("14"), [row(status="equal")], "float64"),
        (unheld("14"), [row(departure=1e-5)], "float64"),
        (unheld("14"), [row(ordinary=False)], "float64"),
        (unheld("7a"), [row()], "float64"),
        (unheld("z"), [row()], "float64"),
        ({"equation": None, "layer": None, "ratio": None, "worst": None, "reason": "KeyError"}, [row()], "float64"),
    ],
    ids=["no row", "format", "function", "equal", "farther off", "far inputs", "7a", "z", "raised"],
)
def test_anything_else_is_an_alarm(of_hardsigmoid, finding, rows, dtype):
    assert of_hardsigmoid([finding], rows, dtype=dtype) == ([finding["equation"]], [])


def test_only_a_kind_that_goes_beyond_is_explained_by_what_is_listed_there(of_hardsigmoid):
    far = [row(ordinary=False)]
    assert of_hardsigmoid([unheld("14")], far, kind="saturated") == ([], ["hardsigmoid/derivative"])
    assert of_hardsigmoid([unheld("14")], far, kind="kinks") == (["14"], [])


def test_what_is_listed_farther_away_than_the_case_goes_explains_nothing(of_hardsigmoid):
    farther = [row(ordinary=False, z=1.7e302)]
    assert of_hardsigmoid([unheld("14")], farther, kind="saturated") == (["14"], [])


@pytest.mark.parametrize(
    ("where", "note", "size"),
    [
        ("z = [0.0, -65504.0, 1.0], y = [1e9, 2.0]", "Squares.", 65504),
        ("z = [0.0, -65504.0, 1.0], y = [1e9, 2.0]", "Squares. Also at z = [0.0, 2e2, -25.0], y = [1.0].", 200),
        ("z = 1000.0", "Squares. Also at z = -511.75; z = -1000.0; z = 65504.0 and 3 more.", 511.75),
        ("z = -50.0, alpha = 0.29998779296875", "Below 1. Also at z = -1e-20, alpha = 0.5.", 1e-20),
        ("z = -inf", "A limit. Also at z = inf.", np.inf),
    ],
)
def test_a_departure_begins_at_the_smallest_of_its_inputs(where, note, size):
    assert begins(row() | {"input": where, "note": note}) == size


def test_of_two_rows_the_one_listed_within_is_named(of_hardsigmoid):
    far, near = row(ordinary=False) | {"id": "far"}, row(departure=1e-8) | {"id": "near"}
    assert of_hardsigmoid([unheld("14")], [far, near], kind="saturated") == ([], ["near"])


def test_a_consequence_follows_what_it_follows_from(of_hardsigmoid):
    nan = unheld("14", expected="NaN", observed="NaN")
    assert of_hardsigmoid([unheld("14"), nan], [row()]) == ([], ["hardsigmoid/derivative"] * 2)
    assert of_hardsigmoid([unheld("7a"), nan], [row()]) == (["7a", "14"], [])
    assert of_hardsigmoid([nan], [row()]) == (["14"], [])
    infinite = unheld("7a")
    infinite["worst"]["allowed"] = "Infinity"
    assert of_hardsigmoid([unheld("14"), infinite], [row()]) == ([], ["hardsigmoid/derivative"] * 2)
    assert of_hardsigmoid([infinite], [row()]) == (["7a"], [])


# the Case whose δ^2 W of −10³⁵ meets softplus at z = 15.4
OVERFLOWING = 9, "huge weights", "bfloat16", 696


def test_torchs_softplus_overflows_in_a_gradient_that_is_a_number(engine_named):
    import torch

    z = torch.tensor([15.0], requires_grad=True)
    (back,) = torch.autograd.grad(torch.nn.functional.softplus(z), z, torch.tensor([1e35]))
    assert back.item() == np.inf, "torch has mended its softplus: what alarms.softplus_overflows explains is gone"
    findings = [
        f
        for f in findings_of(engine_named("torch-eager"), case_of(*OVERFLOWING), arithmetic("torch-eager"))
        if not f.holds
    ]
    assert findings
    unexplained, named = judged([jsonable(broken(f)) for f in findings], [], "torch-eager", OVERFLOWING)
    assert not unexplained
    assert set(named) == {"softplus/derivative/bfloat16/overflow"}


@pytest.mark.parametrize(
    ("engine", "place", "changes"),
    [
        ("jax-jit", OVERFLOWING, {}),
        ("torch-eager", OVERFLOWING, {"equation": "7a"}),
        ("torch-eager", OVERFLOWING, {"observed": 1e30}),
        ("torch-eager", OVERFLOWING, {"observed": "NaN"}),
        ("torch-eager", OVERFLOWING, {"index": [0, 0]}),
        ("torch-eager", (9, "ordinary", "bfloat16", 12), {}),
    ],
    ids=["engine", "equation", "finite", "NaN", "another element", "another Case"],
)
def test_nothing_else_is_that_overflow(engine, place, changes):
    finding = unheld("14", observed="-Infinity", expected=-1e35)
    finding["worst"]["index"] = [3, 1]
    for name, value in changes.items():
        (finding if name == "equation" else finding["worst"])[name] = value
    assert judged([finding], [], engine, place) == ([finding], [])


def test_what_is_explained_is_counted_by_its_row_and_is_no_alarm(turn_of):
    def halved(trace):
        return replace(trace, loss=trace.loss / 2)

    chunks = turn_of(wrong(halved), "float64", 4, spec="torch-eager")
    losses = sorted({combination_of("ordinary", "float64", index).loss for index in range(4)})
    rows = [row(loss, "value", departure=1.0) for loss in losses[1:]]
    found = counted(chunks, rows)
    assert {alarm["combination"][2] for alarm in found["alarms"]} == {losses[0]}
    assert set(found["explained"]["rows"]) == {f"{loss}/value" for loss in losses[1:]}
    assert found["explained"]["findings"] + len(found["alarms"]) == 4


# --- the journal


@pytest.fixture
def journal(tmp_path):
    return tmp_path / JOURNAL


def chunk(start=0, stop=50, cases=40, kind="kinks", breaks=()):
    about = {"engine": "numpy", "dtype": "float32", "kind": kind, "start": start, "stop": stop, "cases": cases}
    found = {"numbers": 10 * cases, "redrawn": 1, "not_run": {"lacks it": stop - start - cases}, "worst": [0.5, "z"]}
    return {**about, **found, "breaks": list(breaks), "seconds": 0.1}


def silent(notice):
    raise AssertionError(f"there is nothing to tell, but {notice!r} is told")


def test_a_journal_is_begun_and_read(journal):
    first = header(SEED, "cpu")
    assert opened(journal, first, silent) == []
    append(journal, chunk())
    append(journal, chunk(50, 100))
    assert opened(journal, first, silent) == [chunk(), chunk(50, 100)]


@pytest.mark.parametrize("torn", [b'{"engine": "nu', b'{"engine": "numpy"}', b"[1, 2]\n", b"\xff\n"])
def test_a_torn_last_line_is_dropped_with_a_notice(journal, torn):
    first, notices = header(SEED, "cpu"), []
    append(journal, first)
    append(journal, chunk())
    whole = journal.read_bytes()
    journal.write_bytes(whole + torn)
    assert opened(journal, first, notices.append) == [chunk()]
    (notice,) = notices
    assert "line, 3, is torn" in notice
    assert journal.read_bytes() == whole
    assert opened(journal, first, silent) == [chunk()]


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"seed": 7}, "seed 7, but should have 2026"),
        ({"device": "gpu"}, "device 'gpu'"),
        ({"source": "another"}, "source 'another'"),
        ({"schema": "another"}, "schema 'another'"),
        ({"versions": {"numpy": "1.0"}}, "versions {'numpy': '1.0'}"),
        ({"processor": "another"}, "processor 'another'"),
    ],
)
def test_a_journal_of_another_campaign_is_refused_in_one_line(journal, change, named):
    append(journal, header(SEED, "cpu") | change)
    with pytest.raises(ResultsError) as error:
        opened(journal, header(SEED, "cpu"), silent)
    assert named in str(error.value)
    assert "\n" not in str(error.value)


def test_what_is_done_is_not_run_again():
    wanted = quotas(("numpy",), ("float32",), 100 * len(KINDS))
    done = [chunk(0, 50, 40), chunk(50, 100, 45), chunk(0, 50, 50, "zeros"), chunk(50, 100, 50, "zeros")]
    left = {kind: rest for turn in turns(wanted, done, "cpu", SEED) for kind, *rest in turn.stretches}
    assert left["kinks"] == [100, 15]
    assert "zeros" not in left
    assert left["ordinary"] == [0, 100]


def test_a_turn_has_one_shape_and_all_kinds_have_a_turn():
    wanted = quotas(("numpy", "jax-jit"), DTYPES, 9600)
    found = list(turns(wanted, [], "cpu", SEED))
    assert all(len({KINDS[kind].shape for kind, *_ in turn.stretches}) == 1 for turn in found)
    stretches = [(turn.spec, turn.dtype, kind) for turn in found for kind, *_ in turn.stretches]
    assert sorted(stretches) == sorted(wanted)


def test_cases_are_spread_evenly():
    wanted = quotas(false_alarms.ENGINES, DTYPES, 200_001)
    assert sum(wanted.values()) == 200_001
    assert len(wanted) == 3 * 4 * len(KINDS)
    assert max(wanted.values()) - min(wanted.values()) == 1


# --- the whole


def test_a_campaign_in_workers_goes_on_from_its_journal(tmp_path):
    first, again, told = [], [], []
    kinds = len(KINDS)
    found = measure(("numpy",), "cpu", ("float32",), kinds, SEED, tmp_path, 1, lambda *n: first.append(n), silent)
    assert (found["cases"], found["alarms"], found["explained"]["findings"]) == (kinds, [], 0)
    assert first[-1] == (kinds, kinds)
    lines = (tmp_path / JOURNAL).read_text().splitlines(keepends=True)
    (tmp_path / JOURNAL).write_text("".join(lines)[:-5])
    more = measure(
        ("numpy",), "cpu", ("float32",), 2 * kinds, SEED, tmp_path, 1, lambda *n: again.append(n), told.append
    )
    assert more["cases"] == 2 * kinds
    assert len(told) == 1
    kept = (tmp_path / JOURNAL).read_text().splitlines(keepends=True)
    assert kept[: len(lines) - 1] == lines[:-1]
    ranges = [(c["kind"], i) for c in map(json.loads, kept[1:]) for i in range(c["start"], c["stop"])]
    assert len(ranges) == len(set(ranges)) >= 2 * kinds
    done = measure(("numpy",), "cpu", ("float32",), kinds, SEED, tmp_path, 1, silent, silent)
    assert done["numbers"] == more["numbers"]


def test_an_adapter_of_a_file_is_caught_in_a_worker(tmp_path):
    (tmp_path / "mine.py").write_text(
        "from adapters.numpy.engine import NumpyEngine\n"
        "class Mine(NumpyEngine):\n"
        "    name = 'mine'\n"
        "    def trace(self, case):\n"
        "        trace = super().trace(case)\n"
        "        trace.db[1][...] += 1\n"
        "        return trace\n"
    )
    spec = f"{tmp_path / 'mine.py'}:Mine"
    found = measure((spec,), "cpu", ("float32",), len(KINDS), SEED, tmp_path, 1, tell=silent)
    assert {(alarm["equation"], alarm["layer"]) for alarm in found["alarms"]} == {("7b", 1)}
    assert len(found["alarms"]) == len(KINDS)
    alarm = found["alarms"][0]
    again = replay(spec, SEED, alarm["kind"], alarm["dtype"], alarm["index"])
    assert alarm["ratio"] == next(finding.ratio for finding in again if not finding.holds)
    assert loaded(spec, "cpu").name == "mine"
