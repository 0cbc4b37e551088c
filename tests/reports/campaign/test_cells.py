"""A campaign's cells: which there are, what they draw, and that no answer of an adapter ends one or passes unseen."""

from collections import Counter
from dataclasses import replace
from itertools import product

import numpy as np
import pytest

from adapters.contract import ENGINES
from adapters.numpy.engine import NumpyEngine
from reference import losses
from reference.activations import ACTIVATIONS
from reference.case import fits, to_json
from reference.cases import COMBINATIONS, Combination, once
from reference.losses import LOSSES
from reference.rounding import DTYPES
from reports.__main__ import parser
from reports.campaign.cells import CellGroup, cell_groups, draw_cases, failed_cell, run_cell, run_group, shape_of
from reports.campaign.designs import THOROUGH, Depth
from reports.campaign.times import PARTS
from reports.commands.audit import chosen, combinations_of, specs_of
from reports.results.verdicts import Verdict
from reports.running.tally import shortened
from reports.running.workers import Failure
from tests.reports.campaign.campaigns import SOME
from tests.reports.campaign.engines import COMBINATION, SEED, BlackBox, Recording, aside_from_time, broken, run, wrong

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
    """(engine, dtype, combination) of every cell of a full campaign, as it is handed to the workers."""
    options = parser().parse_args(["audit", "--full", *arguments])
    return [
        (group.spec, group.dtype, names)
        for spec in specs_of(options)
        for group in groups(options, spec)
        for names in group.combinations
    ]


def groups(options, spec, cases=1, further=3):
    """The groups of an adapter in a campaign."""
    kept = {dtype: combinations_of(options, spec, dtype) for dtype in chosen(options, "dtypes")}
    return cell_groups(spec, spec, "cpu", kept, cases, further, SEED, options.design)


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
    by_dtype = dict.fromkeys(("float32", "bfloat16"), COMBINATIONS)
    for group in cell_groups("spec", "mine", "gpu", by_dtype, 2, 5, 7, "full"):
        assert len({names.hidden for names in group.combinations}) == 1
        assert (group.spec, group.engine, group.device) == ("spec", "mine", "gpu")
        assert (group.cases, group.further, group.seed, group.design) == (2, 5, 7, "full")


@pytest.mark.parametrize(
    ("arguments", "count"),
    [
        (["--full"], 6325),
        ([], 825),
        (["--hidden", "tanh"], 275),
        (["--hidden", "tanh,relu", "--output", "sigmoid"], 26),
        (["--loss", "categorical_cross_entropy"], 23),
        (["--output", "softmax", "--loss", "half_squared_error", "--hidden", "gelu"], 1),
    ],
    ids=str,
)
def test_options_choose_combinations(arguments, count):
    options = parser().parse_args(["audit", *arguments])
    for spec in ("numpy", "torch-eager"):
        kept = combinations_of(options, spec, "float32")
        assert len(kept) == count, f"{len(kept)} combinations, but should be {count}"
    assert 0 < len(combinations_of(options, "jax-whole", "float32")) <= len(once())


def test_the_whole_program_is_left_something_of_every_selection():
    """It compiles each combination, and so has few; but an engine that is asked for is not left out silently."""
    without = 0
    for hidden in ELEMENTWISE:
        outputs = [f for f in ELEMENTWISE if not any((c.hidden, c.output) == (hidden, f) for c in once())]
        options = parser().parse_args(["audit", "--hidden", hidden, "--output", ",".join(outputs)])
        every, kept = (combinations_of(options, spec, "float64") for spec in ("numpy", "jax-whole"))
        assert 0 < len(kept) <= len(once())
        assert set(kept) <= set(every)
        without += not set(every) & set(once())
    assert without == len(ELEMENTWISE)


# --- what they draw


def drawn(seed=SEED, combination=COMBINATION, dtype="float32", cases=3):
    return [to_json(case) for case in draw_cases(seed, combination, dtype, cases)]


def drawn_cases():
    return list(draw_cases(SEED, COMBINATION, "float64", 1))


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
    first, *others = draw_cases(SEED, COMBINATION, "float32", 4)
    assert len({to_json(case) for case in (first, *others)}) == 4
    for case in others:
        assert (case.widths, case.samples) == (first.widths, first.samples)


def test_more_cases_leave_the_first_ones_as_they_are():
    assert drawn(cases=5)[:2] == drawn(cases=2)


def test_every_engine_gets_the_same_cases_whatever_else_is_audited(monkeypatch):
    engines = {}
    monkeypatch.setattr("reports.campaign.cells.loaded", lambda spec, device: engines.setdefault(spec, Recording(spec)))

    def seen(hidden, *specs):
        engines.clear()
        names = "--output", "sigmoid", "--loss", "huber,hinge", "--dtypes", "float32,float16"
        asked = parser().parse_args(["audit", "--hidden", hidden, *names])
        for spec in specs:
            for group in groups(asked, spec, further=1):
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
    found = list(run_group(CellGroup("numpy", "numpy", "cpu", "float32", (plain, thorough), 1, 2, SEED, "full")))
    assert [cell["cases"] for cell in found] == [1, 3]
    assert [cell["verdict"] for cell in found] == ["holds", "holds"]
    experiments = {"2a", "2b", "5a", "5b", "6a", "6b", "13"}
    assert not experiments & set(found[0]["checked"])
    assert experiments <= set(found[1]["checked"])
    for cell in found:
        assert {"z", "a", "8", "1", "9", "14", "7a", "7b", "12", "10a", "10b"} <= set(cell["checked"])


def test_an_experiment_that_a_cell_does_not_get_is_not_in_it():
    found = [
        set(run_cell(NumpyEngine(), "cpu", "float64", COMBINATION, drawn_cases(), SEED, depth)["checked"])
        for depth in (Depth(), Depth(first_order=False), Depth(alone=False), Depth(experiments=False))
    ]
    every, without_first_order, without_alone, without_any = found
    assert every - without_first_order == {"3", "4"}
    assert every - without_alone == {"5a", "5b"}
    assert every - without_any == {"2a", "2b", "3", "4", "5a", "5b", "6a", "6b", "11", "13"}


def test_in_float32_the_widths_differ_and_elsewhere_there_is_one():
    for dtype in DTYPES:
        widths = set(shape_of(SEED, dtype).widths)
        assert (len(widths) > 1) == (dtype == "float32"), f"{dtype}: {widths}"


def test_the_first_case_has_the_usual_parameters_and_further_ones_have_drawn():
    names = Combination("leaky_relu", "elu", "huber")
    first, *others = draw_cases(SEED, names, "float32", 4)
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


IN_QUICK = {"jax-jit": ("float32", "float16"), "jax-whole": ("float64", "bfloat16")}
"""What is compiled in the quick tests."""


@pytest.mark.parametrize(
    ("engine", "dtype", "combination"),
    [
        pytest.param(
            *(engine, dtype, combination),
            id=f"{engine}-{dtype}-{'-'.join(combination)}",
            marks=() if dtype in IN_QUICK.get(engine, DTYPES) else pytest.mark.exhaustive,
        )
        for engine, combination in (*product(ENGINES, (COMBINATION,)), *product(("numpy", "torch-eager"), OTHERS))
        for dtype in DTYPES
    ],
    indirect=["engine"],
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
    assert found["checked"]["7b"][:2] == (shortened(guilty["ratio"]), 1)
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


# --- cells without a record


def test_a_cell_without_a_record_has_the_fields_of_one(in_one):
    group = next(cell_groups("numpy", "numpy", "cpu", {"float32": SOME}, 1, 0, SEED, "full"))
    lost = failed_cell(group, 0, Failure(Verdict.TIMED_OUT, "it takes more than 1 s"))
    lost.pop("spent")
    assert lost.keys() == in_one.found["cells"][0].keys()
    assert lost["id"] == in_one.found["cells"][0]["id"]


# --- times


def test_the_parts_of_a_cell_sum_up_to_no_more_than_the_whole(engine_named):
    for name in ("numpy", "torch-eager", "jax-jit"):
        found = run(engine_named(name), cases=1)
        parts = [found["spent"][part] for part in PARTS]
        assert min(parts) >= 0, f"{name}: {found['spent']}"
        assert 0 < sum(parts) <= found["seconds"] + 1e-6, f"{name}: {found['spent']} of {found['seconds']}"
        assert (found["spent"]["programs"] > 0) <= (name == "jax-jit")
