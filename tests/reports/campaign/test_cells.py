"""A campaign: which cells it has, what they draw, and that no answer of an adapter ends it or passes unseen."""

import math
import os
from collections import Counter
from dataclasses import replace
from itertools import product

import numpy as np
import pytest

from adapters.contract import ENGINES
from adapters.numpy.engine import NumpyEngine
from reference import accuracy, losses
from reference.activations import ACTIVATIONS
from reference.audit import Finding, Worst
from reference.case import fits, to_json
from reference.cases import COMBINATIONS, Combination, once
from reference.losses import LOSSES
from reference.rounding import DTYPES
from reports.__main__ import parser
from reports.accuracy import allowances
from reports.campaign import explanations, times
from reports.campaign.cells import THOROUGH, Group, draw, groups, run_cell, run_group
from reports.campaign.times import PARTS
from reports.commands.audit import combinations_of, specs_of
from reports.divergences import explaining
from reports.results.environment import cores
from reports.running import records
from reports.running.engines import judged_as
from reports.running.pool import CampaignError, in_turn, pool
from reports.running.records import Clock, cell_id
from reports.running.seeds import generator
from reports.running.tally import Tally, badness, record, shortened

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
    return {key: value for key, value in found.items() if key not in ("seconds", "spent")}


def broken(found):
    """The equations that do not hold; every finding that is recorded is one."""
    assert all(not finding["ratio"] <= 1 or finding["elements"] == 0 for finding in found["findings"])
    return {finding["equation"] for finding in found["findings"]}


# --- which cells


ELEMENTWISE = (
    *("identity", "sigmoid", "tanh", "logsigmoid", "softplus", "silu", "mish", "tanhshrink", "gelu", "gelu_tanh"),
    *("softsign", "squareplus", "elu", "selu", "celu", "relu", "leaky_relu", "relu6", "hardtanh", "hardsigmoid"),
    *("hardswish", "softshrink", "hardshrink"),
)

ON_ANY_OUTPUT = (
    *("half_squared_error", "mean_squared_error", "absolute_error", "huber", "smooth_l1", "log_cosh"),
    *("gaussian_nll", "hinge", "squared_hinge", "poisson_nll"),
)

ALL_ZERO_AT_TIMES = ("gelu", "gelu_tanh", "relu", "relu6", "hardsigmoid", "hardswish", "softshrink", "hardshrink")

PAIRS = [
    *product((*ELEMENTWISE, "softmax", "log_softmax"), ON_ANY_OUTPUT),
    *((f, "cosine_distance") for f in (*ELEMENTWISE, "softmax", "log_softmax") if f not in ALL_ZERO_AT_TIMES),
    *(("sigmoid", loss) for loss in ("binary_cross_entropy", "binary_cross_entropy_on_logits")),
    *(
        ("softmax", f"{name}categorical_cross_entropy{suffix}")
        for name, suffix in (("", ""), ("", "_on_logits"), ("", "_with_classes"))
    ),
    ("softmax", "smoothed_cross_entropy_on_logits"),
    *(("log_softmax", loss) for loss in ("negative_log_likelihood", "kullback_leibler")),
]

EVERY = [(hidden, *pair) for hidden, pair in product(ELEMENTWISE, PAIRS)]
"""Written out here, apart from the tables of the reference: a new function is to be added on purpose."""


def test_the_combinations_are_all_valid_ones():
    assert set(COMBINATIONS) == set(EVERY)
    assert len(COMBINATIONS) == len(EVERY) == 6325, f"{len(COMBINATIONS)} combinations, but should be {len(EVERY)}"


def enumerated(*arguments):
    """(engine, dtype, combination) of every cell of a campaign, as it is handed to the workers."""
    options = parser().parse_args(["audit", *arguments])
    return [
        (group.spec, group.dtype, names)
        for spec in specs_of(options)
        for group in groups(spec, spec, "cpu", options.dtypes, combinations_of(options, spec), 1, 3, SEED)
        for names in group.combinations
    ]


def missing_or_twice(cells, every):
    """What a campaign lacks or has too often, of every combination of the tables, on every engine and dtype."""
    few = every & set(once())
    expected = {
        (engine, dtype, names)
        for engine, dtype in product(ENGINES, DTYPES)
        for names in (few if engine == "jax-whole" else every)
    }
    counts = Counter(cells)
    return (expected ^ set(counts)) | {cell for cell, count in counts.items() if count > 1}


def valid():
    """Every (hidden, output, loss) of the tables as they are now."""
    hidden = [name for name, f in ACTIVATIONS.items() if not f.coupled]
    return {
        Combination(h, output, loss) for h, output, loss in product(hidden, ACTIVATIONS, LOSSES) if fits(output, loss)
    }


def test_a_campaign_has_every_combination_in_every_dtype_on_every_engine_exactly_once():
    cells = enumerated()
    assert missing_or_twice(cells, valid()) == set()
    assert valid() == set(EVERY)
    assert Counter(engine for engine, *_ in cells) == {
        **dict.fromkeys(("numpy", "torch-eager", "jax-jit"), 4 * 6325),
        "jax-whole": 4 * len(once()),
    }


def test_a_function_that_is_in_the_tables_alone_is_missed(monkeypatch):
    """The check above, with an activation and a loss that the campaign does not have."""
    cells = enumerated("--dtypes", "float32")
    for table, name, like in ((ACTIVATIONS, "new", "tanh"), (LOSSES, "newer", "huber")):
        with monkeypatch.context() as patched:
            patched.setitem(table, name, table[like])
            if table is LOSSES:
                patched.setitem(losses.FAMILIES, name, losses.huber_of)
            found = [names for _, _, names in missing_or_twice(cells, valid()) if name in names]
        assert found, f"{name!r} is missing in the campaign, but nothing says so"


def test_a_cell_that_is_left_out_or_there_twice_is_seen():
    cells, every = enumerated(), valid()
    for changed in (cells[1:], [*cells, cells[-1]]):
        assert len(missing_or_twice(changed, every)) == 1


def test_a_group_has_one_hidden_activation_and_what_was_asked_for():
    for group in groups("spec", "mine", "gpu", ("float32", "bfloat16"), COMBINATIONS, 2, 5, 7):
        assert len({names.hidden for names in group.combinations}) == 1
        assert (group.spec, group.engine, group.device) == ("spec", "mine", "gpu")
        assert (group.cases, group.further, group.seed) == (2, 5, 7)


@pytest.mark.parametrize(
    ("arguments", "count"),
    [
        ([], 6325),
        (["--hidden", "tanh"], 275),
        (["--hidden", "tanh,relu", "--output", "sigmoid"], 26),
        (["--loss", "categorical_cross_entropy"], 23),
        (["--output", "softmax", "--loss", "half_squared_error", "--hidden", "gelu"], 1),
    ],
    ids=str,
)
def test_options_choose_combinations(arguments, count):
    options = parser().parse_args(["audit", *arguments])
    for spec in ("numpy", "mine.py:Mine"):
        kept = combinations_of(options, spec)
        assert len(kept) == count, f"{len(kept)} combinations, but should be {count}"
    assert len(combinations_of(options, "jax-whole")) <= len(once())


def test_the_whole_program_is_left_something_of_every_selection():
    """It compiles each combination, and so has few; but an engine that is asked for is not left out silently."""
    without = 0
    for hidden in ELEMENTWISE:
        outputs = [f for f in ELEMENTWISE if not any((c.hidden, c.output) == (hidden, f) for c in once())]
        options = parser().parse_args(["audit", "--hidden", hidden, "--output", ",".join(outputs)])
        every, kept = (combinations_of(options, spec) for spec in ("numpy", "jax-whole"))
        assert 0 < len(kept) <= len(once())
        assert set(kept) <= set(every)
        without += not set(every) & set(once())
    assert without == len(ELEMENTWISE)


def test_cell_id():
    assert cell_id("numpy", "cpu", "float32", *COMBINATION) == ("numpy/cpu/float32/tanh/sigmoid/binary_cross_entropy")


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


def test_every_engine_gets_the_same_cases_whatever_else_is_audited(monkeypatch):
    engines = {}
    monkeypatch.setattr("reports.campaign.cells.loaded", lambda spec, device: engines.setdefault(spec, Recording(spec)))

    def seen(hidden, *specs):
        engines.clear()
        asked = parser().parse_args(["audit", "--hidden", hidden, "--output", "sigmoid", "--loss", "huber,hinge"])
        for spec in specs:
            for group in groups(spec, spec, "cpu", ("float32", "float16"), combinations_of(asked, spec), 1, 1, SEED):
                list(run_group(group))
        return {name: engine.seen for name, engine in engines.items()}

    alone, among = seen("tanh,relu", "a"), seen("tanh,relu", "b", "a", "c")
    assert len(alone["a"]) >= 2 * 4
    for name in ("a", "b", "c"):
        assert among[name] == alone["a"], f"{name} is given other cases beside others"
    assert set(seen("tanh", "a")["a"]) < set(alone["a"])


def test_thorough_cells_have_further_cases_and_every_experiment():
    few, many = (names for names in COMBINATIONS if names.hidden == "relu" and names.output == "relu"), THOROUGH
    plain = next(names for names in few if names not in THOROUGH)
    thorough = next(names for names in COMBINATIONS if names in many)
    found = list(run_group(Group("numpy", "numpy", "cpu", "float32", (plain, thorough), 1, 2, SEED)))
    assert [cell["cases"] for cell in found] == [1, 3]
    assert [cell["verdict"] for cell in found] == ["holds", "holds"]
    experiments = {"2a", "2b", "5a", "5b", "6a", "6b", "13"}
    assert not experiments & set(found[0]["checked"])
    assert experiments <= set(found[1]["checked"])
    for cell in found:
        assert {"z", "a", "8", "1", "9", "14", "7a", "7b", "12", "10a", "10b"} <= set(cell["checked"])


def test_the_first_case_has_the_usual_parameters_and_further_ones_have_drawn():
    names = Combination("leaky_relu", "elu", "huber")
    first, *others = draw(SEED, names, "float32", 4)
    assert first.parameters == {}
    for case in others:
        assert set(case.parameters["hidden"]) == {"slope"}
        assert case.parameters["output"]["alpha"] != 1
        assert case.parameters["loss"]["delta"] != 1


def test_one_seed_gives_one_record(engine):
    first, second = (run(engine, "bfloat16", cases=2) for _ in range(2))
    assert aside_from_time(first) == aside_from_time(second)


# --- verdicts


OTHERS = (
    Combination("relu", "softmax", "categorical_cross_entropy_on_logits"),
    Combination("gelu", "silu", "half_squared_error"),
    Combination("elu", "log_softmax", "kullback_leibler"),
    Combination("hardshrink", "softsign", "huber"),
)


@pytest.mark.parametrize(
    ("engine", "combination"),
    [
        *((engine, COMBINATION) for engine in ENGINES),
        *product(("numpy", "torch-eager"), OTHERS),
    ],
    indirect=["engine"],
    ids=lambda value: value if isinstance(value, str) else "-".join(value),
)
def test_honest_engines_hold(engine, dtype, combination):
    found = run(engine, dtype, combination)
    assert found["verdict"] == "holds", f"{found['verdict']}: {found['reason'] or found['findings']}"
    assert found["reason"] is None
    assert (found["cases"], found["engine"], found["dtype"], found["device"]) == (2, engine.name, dtype, "cpu")
    assert found["elements"] == sum(elements for _, _, elements in found["checked"].values()) > 0
    assert all(0 <= ratio <= 1 for ratio, _, _ in found["checked"].values())
    assert (found["findings"], found["explained"]) == ([], None)
    assert found["seconds"] > 0
    assert {key: found[key] for key in combination._asdict()} == combination._asdict()


def test_a_cell_checks_every_equation():
    found = set(run(NumpyEngine(), "float64")["checked"])
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
    assert broken(found) == {"7b"}
    (guilty,) = found["findings"]
    assert (guilty["layer"], guilty["worst"]["case"]) == (1, 2)
    assert found["checked"]["7b"][:2] == [shortened(guilty["ratio"]), 1]
    assert guilty["diagnosis"] == "∂L/∂b^1 is 2 times what (7b) gives: counted twice, or without its ½"


def test_a_break_of_every_case_has_its_diagnosis(dtype):
    """The worst may be an experiment's, on another trace; what is known of the Case's own is kept."""
    found = run(wrong(lambda t: replace(t, dW={**t.dW, 2: -t.dW[2]})), dtype, cases=3)
    said = {(f["equation"], f["layer"]): f["diagnosis"] for f in found["findings"]}
    assert said["7a", 2] == "∂L/∂W^2 is −1 times what (7a) gives: the sign is wrong"


def test_a_break_without_a_pattern_has_no_diagnosis():
    noise = np.random.default_rng(0)
    found = run(wrong(lambda t: replace(t, db={**t.db, 2: noise.normal(size=t.db[2].shape)})))
    assert {f["diagnosis"] for f in found["findings"]} == {None}
    assert {f["equation"] for f in found["findings"]} >= {"7b"}


def raising(error):
    def trace(self, case):
        raise error

    return trace


@pytest.mark.parametrize(
    ("adapter", "verdict", "reason"),
    [
        (wrong(trace=raising(RuntimeError("out of\nmemory"))), "crashed", "RuntimeError: out of memory"),
        (wrong(trace=raising(MemoryError())), "crashed", "MemoryError"),
        (wrong(trace=raising(RecursionError("too deep"))), "crashed", "RecursionError: too deep"),
        (wrong(trace=raising(SystemExit(0))), "crashed", "SystemExit"),
        (wrong(supports=raising(ValueError("unsure"))), "crashed", "ValueError: unsure"),
        (wrong(train=lambda self, case, plan: 1 / 0), "crashed", "ZeroDivisionError"),
        (wrong(layer_vjp=lambda self, *operands: None), "crashed", "TypeError"),
        (wrong(lambda t: None), "malformed", "the trace, NoneType, has no loss"),
        (wrong(lambda t: replace(t, dW=None)), "malformed", "dW of layer 1 is missing"),
        (wrong(lambda t: replace(t, loss=None)), "malformed", "the loss is missing"),
        (wrong(lambda t: replace(t, db={1: t.db[1]})), "malformed", "db of layer 2 is missing"),
        (wrong(lambda t: replace(t, z={})), "malformed", "z of layer 1 is missing"),
        (wrong(lambda t: replace(t, dW={l: g.T for l, g in t.dW.items()})), "malformed", "dW of layer 1 has shape"),
        (
            wrong(lambda t: replace(t, db={l: g[:, np.newaxis] for l, g in t.db.items()})),
            "malformed",
            "db of layer 1 has shape",
        ),
        (wrong(lambda t: replace(t, losses=np.array(t.loss))), "malformed", "losses has shape ()"),
        (wrong(lambda t: replace(t, loss=np.array([t.loss]))), "malformed", "loss has shape (1,)"),
    ],
    ids=lambda value: value.replace(" ", "-") if isinstance(value, str) else "",
)
def test_what_an_adapter_cannot_answer_has_its_verdict_and_reason(adapter, verdict, reason):
    found = run(adapter)
    assert found["verdict"] == verdict, f"the verdict is {found['verdict']}, but should be {verdict}"
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
    equations = set(found["checked"])
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
    assert equation in broken(found)


@pytest.mark.parametrize("missing", ["z", "a", "delta"])
def test_a_trace_that_lacks_one_field_is_audited_end_to_end(missing):
    found = run(wrong(lambda t: replace(t, **{missing: None})))
    assert found["verdict"] == "holds", f"{found['verdict']}: {found['reason']}"
    assert "5a" in found["checked"]


def test_a_trace_without_partial_losses_is_audited_but_for_8():
    found = run(wrong(lambda t: replace(t, losses=None)))
    assert found["verdict"] == "holds"
    assert "8" not in found["checked"]


def test_what_is_not_supported_is_not_run_and_says_why():
    found = run(wrong(supports=lambda self, case: "wrong has no tanh"))
    assert (found["verdict"], found["reason"]) == ("not-run", "wrong has no tanh")
    assert (found["cases"], found["elements"], found["findings"], found["checked"]) == (0, 0, [], {})


def usual_alone(self, case):
    return "wrong has the usual parameters alone" if case.parameters else True


def test_what_is_supported_with_the_usual_parameters_alone_holds_with_the_cases_it_ran():
    found = run(wrong(supports=usual_alone), combination=Combination("elu", "identity", "huber"), cases=4)
    assert (found["verdict"], found["cases"]) == ("holds", 1)
    assert found["reason"] == "wrong has the usual parameters alone"
    assert found["elements"] > 0


def test_what_breaks_in_the_cases_it_ran_breaks():
    adapter = wrong(lambda t: replace(t, loss=2 * t.loss), supports=usual_alone)
    found = run(adapter, combination=Combination("elu", "identity", "huber"), cases=4)
    assert (found["verdict"], found["cases"]) == ("breaks", 1)


def test_a_reason_names_the_case_that_raised_though_others_were_not_run():
    def trace(self, case):
        return 1 / 0 if case.parameters else NumpyEngine.trace(self, case)

    answers = iter((True, "wrong is tired", True))
    adapter = wrong(trace=trace, supports=lambda self, case: next(answers))
    found = run(adapter, combination=Combination("elu", "identity", "huber"), cases=3)
    assert found["verdict"] == "crashed"
    assert found["reason"].startswith("case 2: ZeroDivisionError")


def test_what_broke_is_not_undone_by_a_case_that_is_not_supported():
    """A break in the first Case, and a second that the engine says it cannot run."""
    answers = iter((True, "wrong is tired"))
    adapter = wrong(lambda t: replace(t, loss=2 * t.loss), supports=lambda self, case: next(answers))
    assert run(adapter)["verdict"] == "breaks"


def test_a_cell_that_compares_nothing_does_not_hold():
    found = run_cell(NumpyEngine(), "cpu", "float32", COMBINATION, [], SEED)
    assert (found["verdict"], found["elements"], found["checked"]) == ("breaks", 0, {})


@pytest.mark.parametrize("raising", [lambda: 1 / 0, lambda: None, lambda: ("long", 3)], ids=["raises", "none", "text"])
def test_an_engine_that_fails_to_say_what_it_compiled_is_audited_nevertheless(raising):
    found = run(wrong(compilation=lambda self: raising()))
    assert found["verdict"] == "holds"
    assert (found["spent"]["compile"], found["spent"]["programs"]) == (0.0, 0)


def test_a_failure_in_one_cell_leaves_the_others_alone():
    failing = {"left": 1}

    def trace(self, case):
        if failing["left"]:
            failing["left"] -= 1
            raise RuntimeError("once")
        return NumpyEngine.trace(self, case)

    adapter = wrong(trace=trace)
    assert [run(adapter)["verdict"] for _ in range(2)] == ["crashed", "holds"]


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
    assert {key: kept.ratio for key, (kept, _) in tally.worst.items()} == {
        ("7a", 1): 0.1,
        ("7a", 2): 0.2,
        ("7b", 1): 0.3,
    }


def test_what_is_checked_has_the_worst_layer_and_all_elements():
    tally = Tally()
    tally.add([finding(0.1), finding(0.4, 6, layer=2), finding(0.2, layer=3), finding(0.3, 1, equation="7b")], 0)
    tally.add([finding(0.2), finding(0.3, 6, layer=2), finding(0.35, layer=3)], 1)
    assert tally.checked() == {"7a": [0.4, 2, 28], "7b": [0.3, 1, 1]}


@pytest.mark.parametrize("order", [(0.5, math.nan, 7.0), (math.nan, 7.0, 0.5), (7.0, 0.5, math.nan)], ids=str)
def test_a_layer_that_is_no_number_is_the_worst_of_what_is_checked(order):
    tally = Tally()
    tally.add([finding(ratio, layer=layer) for layer, ratio in enumerate(order, start=1)], 0)
    ratio, layer, elements = tally.checked()["7a"]
    assert math.isnan(ratio), f"the worst of {order} is {ratio}, but should be NaN"
    assert elements == 12
    assert math.isnan(order[layer - 1])


def test_only_what_does_not_hold_and_is_the_worst_is_diagnosed():
    tally, asked = Tally(), []

    def diagnosis(found):
        asked.append(found.ratio)
        return f"said of {found.ratio}" if found.ratio != 7.0 else None

    tally.add([finding(0.9), finding(1.5, layer=2), finding(0.5, layer=3)], 0, diagnosis)
    tally.add([finding(0.8), finding(1.25, layer=2), finding(3.0, layer=3)], 1, diagnosis)
    tally.add([finding(7.0, layer=3)], 2, diagnosis)
    assert asked == [1.5, 3.0, 7.0]
    assert [f["diagnosis"] for f in tally.broken()] == ["said of 1.5", "said of 3.0"]


def test_broken_are_the_findings_that_do_not_hold():
    tally = Tally()
    tally.add([finding(0.9), finding(1.1, layer=2), finding(math.nan, layer=3), finding(0.1, 0, layer=4)], 6)
    assert [(found["layer"], found["elements"]) for found in tally.broken()] == [(2, 4), (3, 4), (4, 0)]
    assert tally.broken()[0]["worst"]["case"] == 6


@pytest.mark.parametrize(
    ("ratio", "short"),
    [
        *((0.0, 0.0), (1.0, 1.0), (0.25, 0.25), (0.12345, 0.1235), (0.12341, 0.1235), (1.00001, 1.001)),
        *((0.99991, 1.0), (99999.0, 1e5), (1.2345678e-300, 1.235e-300), (3.0000001e12, 3.001e12), (math.inf, math.inf)),
    ],
)
def test_shortened(ratio, short):
    assert shortened(ratio) == short


def test_shortened_never_rounds_down():
    rng = np.random.default_rng(0)
    ratios = [1.0, np.nextafter(1, 2), np.nextafter(1, 0), *np.exp2(rng.uniform(-1000, 1000, 20_000))]
    ratios += [*(float(f"{digits:.4g}") for digits in rng.uniform(1, 10, 2_000)), *np.exp2(np.arange(-1020.0, 1020.0))]
    for ratio in map(float, ratios):
        short = shortened(ratio)
        assert ratio <= short <= 1.0011 * ratio, f"{ratio!r} is shortened to {short!r}"
        assert float(f"{short:.4g}") == short
    assert shortened(np.nextafter(1, 2)) > 1, "what breaks reads as if it held"


def test_shortened_keeps_nan():
    assert math.isnan(shortened(math.nan))


def test_record():
    assert record(finding(0.5), 7, 40) == {
        "equation": "7a",
        "layer": 1,
        "ratio": 0.5,
        "elements": 40,
        "worst": {"case": 7, "index": (0, 1), "observed": 1.5, "expected": 1.0, "allowed": 0.5},
        "diagnosis": None,
    }
    assert record(finding(1.5), 7, 40, "a sentence")["diagnosis"] == "a sentence"
    assert record(finding(math.nan, 0), 7, 0)["worst"] is None


# --- workers


SELECTION = ["audit", "--hidden", "elu,tanh", "--output", "sigmoid,identity", "--loss", "huber,hinge"]


def test_a_pool_whose_worker_dies_is_one_line():
    with pytest.raises(CampaignError, match=r"^a worker process died[^\n]*$"), pool(1) as executor:
        executor.submit(os._exit, 3).result()


def test_the_environment_is_as_before_and_workers_share_the_cores(monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "7")
    monkeypatch.delenv("MKL_NUM_THREADS", raising=False)
    before = dict(os.environ)
    with pool(2) as executor:
        seen = executor.submit(os.getenv, "OMP_NUM_THREADS").result()
        assert seen == str(max(1, cores() // 2))
    assert dict(os.environ) == before


def test_results_come_in_the_order_of_the_groups_and_are_told_as_they_come():
    from concurrent.futures import Future

    futures = [Future() for _ in range(3)]
    for number in (2, 0, 1):
        futures[number].set_result(number)
    told = []
    assert in_turn(futures, told.append) == [0, 1, 2]
    assert sorted(told) == [0, 1, 2]


# --- times


def test_the_parts_of_a_cell_sum_up_to_no_more_than_the_whole(engine_named):
    for name in ("numpy", "torch-eager", "jax-jit"):
        found = run(engine_named(name), cases=1)
        parts = [found["spent"][part] for part in PARTS]
        assert min(parts) >= 0, f"{name}: {found['spent']}"
        assert 0 < sum(parts) <= found["seconds"] + 1e-6, f"{name}: {found['spent']} of {found['seconds']}"
        assert (found["spent"]["programs"] > 0) <= (name == "jax-jit")


def test_compilation_is_no_part_of_what_it_interrupts():
    """An engine that says it compiled for the time of a part leaves next to nothing of it."""

    class Compiling:
        name, spent = "compiling", 0.0

        def compilation(self):
            return self.spent, 4 if self.spent else 1

    adapter = Compiling()
    clock = Clock(adapter)
    with clock("engine"):
        started = records.seconds()
        sum(range(20_000))
        adapter.spent = records.seconds() - started
    found = clock.record()
    assert found["compile"] == adapter.spent > 0
    assert found["programs"] == 3
    assert 0 <= found["engine"] < adapter.spent


def test_a_part_that_raises_is_timed():
    clock = Clock(NumpyEngine())
    with pytest.raises(KeyError), clock("audit"):
        raise KeyError
    assert clock.record()["audit"] > 0


def timed_cell(engine, verdict="holds", compile=0.0, programs=0, **parts):
    spent = {"compile": compile, "programs": programs, "engine": 1.0, "audit": 0.5, "experiments": 0.25, **parts}
    return {"engine": engine, "verdict": verdict, "spent": spent}


def test_times_are_summed_by_engine_and_taken_from_the_cells():
    cells = [timed_cell("numpy"), timed_cell("jax-jit", compile=3.0, programs=2), timed_cell("numpy", audit=1.5)]
    found = times.times(cells, 2)
    assert found == {
        "seconds": {
            "numpy": {"compile": 0.0, "engine": 2.0, "audit": 2.0, "experiments": 0.5},
            "jax-jit": {"compile": 3.0, "engine": 1.0, "audit": 0.5, "experiments": 0.25},
        },
        "workers": 2,
        "without_reuse": None,
    }
    assert all("spent" not in cell for cell in cells)


def test_without_reuse_is_seconds_a_program_times_cells():
    """jax-whole: 12 s for 8 programs; jax-jit: 3 cells that ran, and 5 programs for them."""
    cells = [
        timed_cell("jax-whole", compile=9.0, programs=6),
        timed_cell("jax-whole", compile=3.0, programs=2),
        *(timed_cell("jax-jit", compile=1.0, programs=n) for n in (5, 0, 0)),
        timed_cell("jax-jit", verdict="not-run"),
        timed_cell("torch-eager"),
    ]
    found = times.times(cells, 1)["without_reuse"]
    assert (found["seconds"], found["programs"], found["compiled"]) == (4.5, 3, 5)
    for part in ("1.500 s", "8 measured"):
        assert part in found["how"], f"how is {found['how']!r}, but should say {part!r}"


@pytest.mark.parametrize(
    "cells",
    [
        [timed_cell("jax-jit", compile=1.0, programs=5)],
        [timed_cell("jax-whole", compile=1.0, programs=5)],
        [timed_cell("jax-whole", "not-run"), timed_cell("jax-jit", compile=1.0, programs=5)],
        [timed_cell("jax-whole", compile=1.0, programs=5), timed_cell("jax-jit", "not-run")],
        [],
    ],
    ids=["no whole", "no jit", "whole not run", "jit not run", "nothing"],
)
def test_without_reuse_is_left_out_where_it_was_not_measured(cells):
    assert times.times(cells, 1)["without_reuse"] is None


# --- divergences that explain


def breaking(*equations, **changes):
    findings = [{"equation": equation, "layer": 1, "ratio": 2.0, "worst": None} for equation in equations]
    about = {"engine": "jax-jit", "dtype": "float32", "verdict": "breaks", "explained": None, "findings": findings}
    names = {"hidden": "hardswish", "output": "sigmoid", "loss": "binary_cross_entropy"}
    return {**about, **names, **changes}


@pytest.fixture
def explained(monkeypatch):
    """What explains a cell, where rows say which equation each explains."""

    def by_equation(rows, item, finding):
        assert finding in item["findings"]
        return rows.get(finding["equation"])

    monkeypatch.setattr(explaining, "explains", by_equation)

    def explain(item, rows):
        explanations.explain([item], rows)
        return item["explained"]

    return explain


ROWS = {"14": "hardswish/derivative", "13": "hardswish/derivative", "a": "hardswish/value"}


def test_a_break_in_what_is_listed_is_explained_by_the_row_of_its_first_finding(explained):
    assert explained(breaking("14", "13"), ROWS) == "hardswish/derivative"
    assert explained(breaking("a", "14"), ROWS) == "hardswish/value"


@pytest.mark.parametrize("equations", [("7a",), ("14", "7a"), ("7a", "14"), ("14", "7a", "a"), ()], ids=str)
def test_a_break_that_is_not_listed_in_full_is_not_explained(explained, equations):
    assert explained(breaking(*equations), ROWS) is None


def test_without_rows_nothing_is_explained(explained):
    assert explained(breaking("14"), {}) is None


@pytest.mark.parametrize("verdict", ["holds", "not-run"])
def test_what_does_not_break_is_not_explained(explained, verdict):
    assert explained(breaking("14", verdict=verdict), ROWS) is None


def test_every_item_is_explained_by_itself(explained):
    items = [breaking("14"), breaking("7a"), breaking("a")]
    explanations.explain(items, ROWS)
    assert [item["explained"] for item in items] == ["hardswish/derivative", None, "hardswish/value"]


@pytest.mark.parametrize("status", ["defect", "equal"])
def test_a_real_record_is_explained_by_the_table(status):
    """The total loss of an engine whose loss is listed, or is not."""
    found = run(wrong(lambda t: replace(t, loss=2 * t.loss)), combination=Combination("tanh", "sigmoid", "huber"))
    row = {"function": "huber", "what": "value", "dtype": "float32", "ordinary": True}
    row |= {"id": "huber/value", "status": {"wrong": status}, "departure": {"wrong": 1.0}}
    explanations.explain([found], [row])
    assert broken(found) == {"1"}
    assert found["explained"] == ("huber/value" if status == "defect" else None)


# --- the accuracy that is assumed


def test_accuracy_has_every_measurement_once_with_the_k_that_is_assumed():
    found = [row for device in ("cpu", "gpu") for row in allowances.accuracy(device)]
    keys = [(entry["function"], entry["what"], entry["dtype"], entry["engine"]) for entry in found]
    entries = accuracy.recorded()
    assert len(keys) == len(set(keys))
    assert set(keys) == {(e["function"], e["what"], e["dtype"], e["engine"]) for e in entries}
    assert {(function, "value", dtype) for function, dtype in product((*ACTIVATIONS, *LOSSES), DTYPES)} <= {
        key[:3] for key in keys
    }
    for entry, key in zip(found, keys, strict=True):
        assert float(entry["measured"]) == accuracy.measured()[key[:3]][key[3]]
        assert entry["k"] == accuracy.k(*key)
        assert set(entry) == {"function", "what", "dtype", "engine", "k", "measured", "ulp", "at", "inputs"}
        assert entry["inputs"] > 0


def test_an_engine_is_judged_by_its_own_accuracy_where_that_was_measured():
    """An adapter of that name too, but not another; on a GPU by what was measured there."""
    assert judged_as(NumpyEngine(), "cpu") == "numpy"
    assert judged_as(NumpyEngine(), "gpu") == "numpy on gpu"
    assert judged_as(wrong(), "cpu") is None
    assert judged_as(wrong(), "gpu") == "any on gpu"


def test_accuracy_of_several_parameters_is_the_worst(monkeypatch):
    def entry(roundings, **changes):
        about = {"function": "elu", "what": "value", "dtype": "float32", "engine": "numpy", "at": [1.5], "inputs": 8}
        return {**about, "roundings": roundings, "ulp": roundings, **changes}

    entries = [entry(1.0), entry(3.0, at=[2.5]), entry(2.0), entry(9.0, engine="torch-eager")]
    monkeypatch.setattr(allowances, "recorded", lambda: entries)
    monkeypatch.setattr(allowances, "k", lambda *key: 7.0)
    found = {entry["engine"]: entry for entry in allowances.accuracy("cpu")}
    assert {engine: entry["measured"] for engine, entry in found.items()} == {"numpy": 3.0, "torch-eager": 9.0}
    assert (found["numpy"]["at"], found["numpy"]["k"]) == ("2.5", 7.0)
    entries[:] = [entry(0.0, at=None)]
    assert [entry["at"] for entry in allowances.accuracy("cpu")] == [""]
