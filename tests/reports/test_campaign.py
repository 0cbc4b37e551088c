"""A campaign: which cells it has, what they draw, and that no answer of an adapter ends it or passes unseen."""

import math
from dataclasses import replace
from itertools import product

import numpy as np
import pytest

from adapters.numpy_engine import NumpyEngine
from reference.audit import Finding, Worst
from reference.case import to_json
from reference.cases import COMBINATIONS, Combination
from reports.__main__ import cells, combinations_of, parser
from reports.campaign import Tally, badness, cell_id, draw, generator, record, run_cell

SEED = 2026

COMBINATION = Combination("tanh", "sigmoid", "binary_cross_entropy")


class Recording(NumpyEngine):
    """NumPy that keeps the Cases it is given for a trace of the cell."""

    def __init__(self, name="recording"):
        super().__init__()
        self.name, self.seen = name, []

    def supports(self, case):
        self.seen.append(to_json(case))
        return True


def wrong(change=None, **members):
    """NumPy with another trace, or with other members."""

    class Wrong(NumpyEngine):
        name = "wrong"

    if change is not None:
        members["trace"] = lambda self, case: change(NumpyEngine.trace(self, case))
    for member, value in members.items():
        setattr(Wrong, member, value)
    return Wrong()


def run(adapter, dtype="float32", combination=COMBINATION, cases=2, seed=SEED):
    """One cell's record."""
    return run_cell(adapter, "cpu", dtype, combination, draw(seed, combination, dtype, cases), seed)


def aside_from_time(found):
    return {key: value for key, value in found.items() if key != "seconds"}


# --- which cells


PAIRS = [
    *((output, "half_squared_error") for output in ("identity", "sigmoid", "tanh", "relu", "gelu", "softplus", "silu")),
    ("softmax", "half_squared_error"),
    *(("sigmoid", loss) for loss in ("binary_cross_entropy", "binary_cross_entropy_on_logits")),
    *(("softmax", loss) for loss in ("categorical_cross_entropy", "categorical_cross_entropy_on_logits")),
]

EVERY = [
    (hidden, *pair)
    for hidden, pair in product(("identity", "sigmoid", "tanh", "relu", "gelu", "softplus", "silu"), PAIRS)
]
"""Written out here, apart from the tables of the reference: a new function is to be added on purpose."""


def test_the_combinations_are_all_valid_ones():
    assert set(COMBINATIONS) == set(EVERY)
    assert len(COMBINATIONS) == len(EVERY), f"{len(COMBINATIONS)} combinations, but should be {len(EVERY)}"


def test_a_campaign_has_every_combination_in_every_dtype_on_every_engine():
    options = parser().parse_args(["audit"])
    engines = [Recording("one"), Recording("two")]
    ids = [name for name, _ in cells(options, engines)]
    expected = [
        "/".join((engine, "cpu", dtype, *names))
        for engine, dtype, names in product(("one", "two"), ("float32", "float64"), EVERY)
    ]
    assert len(ids) == len(set(ids)), "a cell is there twice"
    assert set(ids) == set(expected)


@pytest.mark.parametrize(
    ("arguments", "count"),
    [
        ([], 84),
        (["--hidden", "tanh"], 12),
        (["--hidden", "tanh,relu", "--output", "sigmoid"], 6),
        (["--loss", "categorical_cross_entropy"], 7),
        (["--output", "softmax", "--loss", "half_squared_error", "--hidden", "gelu"], 1),
    ],
    ids=str,
)
def test_options_choose_combinations(arguments, count):
    kept = combinations_of(parser().parse_args(["audit", *arguments]))
    assert len(kept) == count, f"{len(kept)} combinations, but should be {count}"


def test_cell_id():
    assert cell_id(NumpyEngine(), "cpu", "float32", *COMBINATION) == (
        "numpy/cpu/float32/tanh/sigmoid/binary_cross_entropy"
    )


# --- what they draw


def drawn(seed=SEED, combination=COMBINATION, dtype="float32", cases=3):
    return [to_json(case) for case in draw(seed, combination, dtype, cases)]


def test_the_same_seed_draws_the_same(dtype):
    assert drawn(dtype=dtype) == drawn(dtype=dtype)


def test_another_seed_combination_or_dtype_draws_another():
    others = (
        drawn(seed=SEED + 1),
        drawn(combination=COMBINATION._replace(hidden="relu")),
        drawn(dtype="float64"),
    )
    for other in others:
        assert not set(drawn()) & set(other)


def test_cases_of_a_cell_differ_but_have_one_shape():
    first, *others = draw(SEED, COMBINATION, "float32", 4)
    assert len({to_json(case) for case in (first, *others)}) == 4
    for case in others:
        assert (case.widths, case.samples) == (first.widths, first.samples)


def test_more_cases_leave_the_first_ones_as_they_are():
    assert drawn(cases=5)[:2] == drawn(cases=2)


def test_generator_depends_on_names_and_their_order():
    names = (*COMBINATION, "float32")
    others = ((SEED, *names), (SEED, *names, 0), (SEED, *names, 1), (SEED, *reversed(names)), (SEED + 1, *names))
    draws = {float(generator(*other).random()) for other in others}
    assert len(draws) == len(others), f"{len(draws)} different draws, but should be {len(others)}"
    assert generator(1, "a", 3).random() == generator(1, "a", 3).random()


def test_every_engine_gets_the_same_cases_whoever_else_is_there():
    options = parser().parse_args(["audit", "--hidden", "tanh,relu", "--output", "sigmoid", "--cases", "2"])

    def seen(*names):
        engines = [Recording(name) for name in names]
        for _, (adapter, dtype, combination, cases) in cells(options, engines):
            run_cell(adapter, "cpu", dtype, combination, cases, options.seed)
        return {engine.name: engine.seen for engine in engines}

    alone, among = seen("a"), seen("b", "a", "c")
    assert len(alone["a"]) == 2 * 6 * 2
    for name in ("a", "b", "c"):
        assert among[name] == alone["a"], f"{name} is given other cases beside others"


def test_one_seed_gives_one_record(engine, dtype):
    first, second = (run(engine, dtype, cases=2) for _ in range(2))
    assert aside_from_time(first) == aside_from_time(second)


# --- verdicts


@pytest.mark.parametrize(
    "combination",
    [
        COMBINATION,
        Combination("relu", "softmax", "categorical_cross_entropy_on_logits"),
        Combination("gelu", "silu", "half_squared_error"),
    ],
    ids="-".join,
)
def test_honest_engines_hold(engine, dtype, combination):
    found = run(engine, dtype, combination)
    assert found["verdict"] == "holds", f"{found['verdict']}: {found['reason'] or found['findings']}"
    assert found["reason"] is None
    assert (found["cases"], found["engine"], found["dtype"], found["device"]) == (2, engine.name, dtype, "cpu")
    assert found["elements"] == sum(finding["elements"] for finding in found["findings"]) > 0
    assert found["seconds"] > 0
    assert {key: found[key] for key in combination._asdict()} == combination._asdict()


def test_a_cell_checks_every_equation():
    found = {finding["equation"] for finding in run(NumpyEngine(), "float64")["findings"]}
    expected = {"z", "a", "1", "2a", "2b", "3", "4", "5a", "5b", "6a", "6b", "7a", "7b", "8", "9", "10a", "10b", "11"}
    assert found == expected | {"12", "13", "14"}


def test_every_case_is_audited_and_the_worst_is_kept():
    """A fault in the third Case alone."""
    third_case = drawn(cases=3)[2]

    def trace(self, case):
        honest, third = NumpyEngine.trace(self, case), to_json(case) == third_case
        return replace(honest, db={**honest.db, 1: honest.db[1] * 2}) if third else honest

    found = run(wrong(trace=trace), cases=4)
    assert found["verdict"] == "breaks"
    (guilty,) = [finding for finding in found["findings"] if not finding["ratio"] <= 1]
    assert (guilty["equation"], guilty["layer"], guilty["worst"]["case"]) == ("7b", 1, 2)


def raising(error):
    def trace(self, case):
        raise error

    return trace


@pytest.mark.parametrize(
    ("adapter", "reason"),
    [
        (wrong(trace=raising(RuntimeError("out of\nmemory"))), "RuntimeError: out of memory"),
        (wrong(trace=raising(MemoryError())), "MemoryError"),
        (wrong(trace=raising(RecursionError("too deep"))), "RecursionError: too deep"),
        (wrong(trace=raising(SystemExit(0))), "SystemExit"),
        (wrong(supports=raising(ValueError("unsure"))), "ValueError: unsure"),
        (wrong(train=lambda self, case, plan: 1 / 0), "ZeroDivisionError"),
        (wrong(layer_vjp=lambda self, *operands: None), "TypeError"),
        (wrong(lambda t: None), "AttributeError"),
        (wrong(lambda t: replace(t, dW=None)), "dW of layer 1 is missing"),
        (wrong(lambda t: replace(t, loss=None)), "the loss is missing"),
        (wrong(lambda t: replace(t, db={1: t.db[1]})), "db of layer 2 is missing"),
        (wrong(lambda t: replace(t, z={})), "z of layer 1 is missing"),
        (wrong(lambda t: replace(t, dW={l: g.T for l, g in t.dW.items()})), "dW of layer 1 has shape"),
        (wrong(lambda t: replace(t, db={l: g[:, np.newaxis] for l, g in t.db.items()})), "db of layer 1 has shape"),
        (wrong(lambda t: replace(t, losses=np.array(t.loss))), "losses has shape ()"),
        (wrong(lambda t: replace(t, loss=np.array([t.loss]))), "loss has shape (1,)"),
    ],
    ids=lambda value: value.replace(" ", "-") if isinstance(value, str) else "",
)
def test_what_an_adapter_cannot_answer_breaks_with_the_reason(adapter, reason):
    found = run(adapter)
    assert found["verdict"] == "breaks", f"the verdict is {found['verdict']}, but should be breaks"
    assert reason in found["reason"], f"the reason is {found['reason']!r}, but should name {reason!r}"
    assert found["reason"].startswith("case 0")
    assert "\n" not in found["reason"]


@pytest.mark.parametrize("field", ["loss", "losses", "z", "a", "delta", "dW", "db"])
@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_numbers_that_are_none_break(field, bad, dtype):
    def change(trace):
        value = getattr(trace, field)
        if field == "loss":
            return replace(trace, loss=bad)
        if field == "losses":
            return replace(trace, losses=np.full_like(value, bad))
        return replace(trace, **{field: {**value, 2: np.full_like(value[2], bad)}})

    with np.errstate(all="ignore"):
        found = run(wrong(change), dtype)
    assert found["verdict"] == "breaks", f"{bad} in {field}: {found['verdict']}, but should be breaks"


def box(trace):
    """Loss and gradients alone."""
    return replace(trace, losses=None, z=None, a=None, delta=None)


class BlackBox:
    """An engine that shows its loss and gradients, and can do nothing else."""

    name = "box"

    def __init__(self, change=lambda trace: trace):
        self.change = change

    def supports(self, case):
        return True

    def trace(self, case):
        return self.change(box(NumpyEngine().trace(case)))


@pytest.mark.parametrize(
    "combination", [COMBINATION, Combination("relu", "identity", "half_squared_error")], ids="-".join
)
def test_a_black_box_is_audited_end_to_end(dtype, combination):
    found = run(BlackBox(), dtype, combination)
    assert found["verdict"] == "holds", f"{found['verdict']}: {found['reason'] or found['findings']}"
    equations = {finding["equation"] for finding in found["findings"]}
    assert {"1", "5a", "5b"} <= equations
    assert not equations & {"z", "a", "9", "14", "7a", "7b"}


@pytest.mark.parametrize(
    ("change", "equation"),
    [
        (lambda t: replace(t, loss=t.loss * 1.01), "1"),
        (lambda t: replace(t, dW={**t.dW, 2: t.dW[2] * 1.01}), "5a"),
        (lambda t: replace(t, db={**t.db, 1: t.db[1] * 1.01}), "5b"),
    ],
    ids=["loss", "dW", "db"],
)
def test_a_black_box_with_a_fault_breaks(change, equation):
    found = run(BlackBox(change), "float32")
    assert found["verdict"] == "breaks"
    broken = {finding["equation"] for finding in found["findings"] if not finding["ratio"] <= 1}
    assert equation in broken


@pytest.mark.parametrize("missing", ["z", "a", "delta"])
def test_a_trace_that_lacks_one_field_is_audited_end_to_end(missing):
    found = run(wrong(lambda t: replace(t, **{missing: None})))
    assert found["verdict"] == "holds", f"{found['verdict']}: {found['reason']}"
    assert "5a" in {finding["equation"] for finding in found["findings"]}


def test_a_trace_without_partial_losses_is_audited_but_for_8():
    found = run(wrong(lambda t: replace(t, losses=None)))
    assert found["verdict"] == "holds"
    assert "8" not in {finding["equation"] for finding in found["findings"]}


def test_what_is_not_supported_is_not_run_and_says_why():
    found = run(wrong(supports=lambda self, case: "wrong has no tanh"))
    assert (found["verdict"], found["reason"]) == ("not-run", "wrong has no tanh")
    assert (found["cases"], found["elements"], found["findings"]) == (0, 0, [])


def test_what_broke_is_not_undone_by_a_case_that_is_not_supported():
    """A break in the first Case, and a second that the engine says it cannot run."""
    answers = iter((True, "wrong is tired"))
    adapter = wrong(lambda t: replace(t, loss=2 * t.loss), supports=lambda self, case: next(answers))
    assert run(adapter)["verdict"] == "breaks"


def test_a_cell_that_compares_nothing_does_not_hold():
    found = run_cell(NumpyEngine(), "cpu", "float32", COMBINATION, [], SEED)
    assert (found["verdict"], found["elements"]) == ("breaks", 0)


def test_a_failure_in_one_cell_leaves_the_others_alone():
    failing = {"left": 1}

    def trace(self, case):
        if failing["left"]:
            failing["left"] -= 1
            raise RuntimeError("once")
        return NumpyEngine.trace(self, case)

    adapter = wrong(trace=trace)
    assert [run(adapter)["verdict"] for _ in range(2)] == ["breaks", "holds"]


# --- the tally


def finding(ratio, elements=4, equation="7a", layer=1):
    return Finding(equation, layer, ratio, elements, Worst((0, 1), 1.5, 1.0, 0.5) if elements else None)


@pytest.mark.parametrize("ratios", list(product((0.5, 3.0, math.nan, math.inf), repeat=2)), ids=str)
def test_the_worst_is_kept_whatever_comes_first(ratios):
    tally = Tally()
    for case, ratio in enumerate(ratios):
        tally.add([finding(ratio)], case)
    kept, case = tally.worst["7a", 1]
    assert badness(kept) == max(badness(finding(ratio)) for ratio in ratios)
    assert tally.holds() is all(ratio <= 1 for ratio in ratios)
    assert tally.elements["7a", 1] == 8
    assert badness(finding(ratios[case])) == badness(kept), "the case is not the one of the worst"


@pytest.mark.parametrize("order", [(0, 4), (4, 0)])
def test_a_finding_that_compared_nothing_is_the_worst(order):
    tally = Tally()
    for case, elements in enumerate(order):
        tally.add([finding(0.1, elements)], case)
    assert tally.worst["7a", 1][0].elements == 0
    assert not tally.holds()


def test_an_empty_tally_does_not_hold():
    assert Tally().holds() is False
    assert Tally().add([], 0) == 0.0


def test_add_gives_the_largest_ratio():
    assert Tally().add([finding(0.2), finding(0.9, layer=2), finding(0.3, layer=3)], 0) == 0.9
    assert Tally().add([finding(0.2), finding(math.nan, layer=2)], 0) == math.inf


def test_equations_and_layers_are_kept_apart():
    tally = Tally()
    tally.add([finding(0.1), finding(0.2, layer=2), finding(0.3, equation="7b")], 0)
    assert [(r["equation"], r["layer"], r["ratio"]) for r in tally.records()] == [
        ("7a", 1, 0.1),
        ("7a", 2, 0.2),
        ("7b", 1, 0.3),
    ]


def test_record():
    assert record(finding(0.5), 7, 40) == {
        "equation": "7a",
        "layer": 1,
        "ratio": 0.5,
        "elements": 40,
        "worst": {"case": 7, "index": (0, 1), "observed": 1.5, "expected": 1.0, "allowed": 0.5},
    }
    assert record(finding(math.nan, 0), 7, 0)["worst"] is None
