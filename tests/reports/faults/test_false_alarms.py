"""False alarms: every break of an honest engine is counted or explained, and a measurement goes on from its journal."""

import json
from dataclasses import replace
from itertools import product
from pathlib import Path

import numpy as np
import pytest

from adapters.numpy.engine import NumpyEngine
from reference.activations import HIDDEN
from reference.audit import audit
from reference.cases import COMBINATIONS
from reference.losses import LOSSES
from reference.rounding import DTYPES
from reports.faults import adversarial_cases, false_alarms
from reports.faults.adversarial_cases import KINDS, STRETCH, case_of, combination_of
from reports.faults.false_alarms import (
    JOURNAL,
    Portion,
    Workload,
    alarms_of,
    begins,
    explain_findings,
    finding_record,
    findings_of,
    header,
    measure,
    quotas,
    replay,
    run,
    workloads,
)
from reports.results.files import ResultsError, jsonable
from reports.results.journal import append, opened
from reports.running.engines import loaded
from tests.arithmetics import arithmetic
from tests.exhaustive import quick

SEED = 2026


# --- what is found


@pytest.fixture
def ranges_of(monkeypatch, tmp_path):
    """The ranges that a workload of an adapter adds to the journal."""

    def ranges(adapter, dtype="float32", cases=6, kinds=("ordinary",), spec="ours", start=0):
        monkeypatch.setattr(false_alarms, "loaded", lambda spec, device: adapter)
        journal = tmp_path / f"{len(list(tmp_path.iterdir()))}.jsonl"
        portions = tuple(Portion(kind, start, cases) for kind in kinds)
        done = run(Workload(spec, "cpu", dtype, SEED, portions, journal))
        found = [json.loads(line) for line in journal.read_text().splitlines()]
        assert done == sum(each["cases"] for each in found)
        return found

    return ranges


def wrong(change=lambda trace: trace, **members):
    """NumPy with another trace, or with other members."""

    class Wrong(NumpyEngine):
        def trace(self, case):
            return change(NumpyEngine.trace(self, case))

    for name, member in members.items():
        setattr(Wrong, name, member)
    return Wrong()


def counted(ranges, rows=()):
    return alarms_of(ranges, rows, SEED)


@pytest.mark.parametrize(
    ("name", "dtype", "kinds", "cases"),
    [
        *(("numpy", dtype, tuple(KINDS), 4) for dtype in DTYPES),
        # of torch's float64, hardsigmoid and celu are listed divergences
        *(("torch-eager", dtype, tuple(KINDS), 4) for dtype in DTYPES if dtype != "float64"),
        *quick(
            (("jax-jit", dtype, ("kinks", "single unit"), 2) for dtype in ("float32", "bfloat16")), 1
        ),  # it compiles
    ],
)
def test_an_honest_engine_raises_no_alarm(engine_named, ranges_of, name, dtype, kinds, cases):
    found = counted(ranges_of(engine_named(name), dtype, cases, kinds, spec=name))
    assert not found["alarms"], found["alarms"][0]
    assert found["cases"] == cases * len(kinds)
    assert found["numbers"] > 10 * found["cases"]
    assert all(0 <= item["worst"] <= 1 for item in found["by"])


def test_numbers_are_those_of_the_audit_and_of_the_composed_equations(ranges_of):
    (only,) = ranges_of(NumpyEngine(), cases=1)
    case = case_of(SEED, "ordinary", "float32", 0)
    of_audit = sum(finding.elements for finding in audit(case, NumpyEngine().trace(case)))
    # beside them (12) for z of layers 2 and 3, and (10a) and (10b) of the last
    assert only["numbers"] == of_audit + 8 * (4 + 6) + 6 * 4 + 6


def off_by_a_hundredth(trace):
    return replace(trace, db={**trace.db, 2: trace.db[2] * 1.01})


def test_every_case_of_a_wrong_engine_is_an_alarm_with_its_place(ranges_of):
    found = counted(ranges_of(wrong(off_by_a_hundredth), cases=8))
    places = {(alarm["index"], alarm["equation"], alarm["layer"]) for alarm in found["alarms"]}
    assert places == {(index, "7b", 2) for index in range(8)}
    assert found["by"][0]["alarms"] == len(found["alarms"]) == 8
    first = found["alarms"][0]
    assert first["ratio"] > 1
    assert first["seed"] == SEED
    assert tuple(first["combination"]) == combination_of("ordinary", "float32", 0)
    assert {"index", "observed", "expected", "allowed"} == set(first["worst"])
    assert first["replay"] == "reports.faults.false_alarms.replay('ours', 2026, 'ordinary', 'float32', 0)"


def test_an_alarm_is_replayed(ranges_of, monkeypatch):
    adapter = wrong(off_by_a_hundredth)
    recorded = counted(ranges_of(adapter, cases=3))["alarms"]
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
def test_what_gives_no_finding_is_an_alarm(ranges_of, adapter, reason):
    found = counted(ranges_of(adapter, cases=2))
    assert [alarm["reason"] for alarm in found["alarms"]] == [reason] * 2


def test_nan_is_an_alarm(ranges_of):
    found = counted(ranges_of(wrong(lambda trace: replace(trace, loss=float("nan"))), cases=2))
    assert [(alarm["equation"], alarm["ratio"]) for alarm in found["alarms"]] == [("1", "NaN")] * 2
    json.dumps(jsonable(found), allow_nan=False)


def test_nothing_compared_is_an_alarm(ranges_of, monkeypatch):
    monkeypatch.setattr(false_alarms, "findings_of", lambda *given: [])
    assert [alarm["reason"] for alarm in counted(ranges_of(NumpyEngine(), cases=2))["alarms"]] == ["no finding"] * 2


def test_what_an_engine_lacks_is_not_counted_as_audited(ranges_of):
    def supports(self, case):
        return True if case.loss == "huber" else f"only huber, not {case.loss}"

    found = counted(ranges_of(wrong(supports=supports), cases=4))
    assert found["cases"] == 4
    assert {item["reason"] for item in found["not_run"]} <= {f"only huber, not {loss}" for loss in LOSSES}
    assert sum(item["cases"] for item in found["not_run"]) > 4


def test_an_engine_that_supports_nothing_ends(ranges_of):
    found = counted(ranges_of(wrong(supports=lambda self, case: "nothing"), cases=2))
    assert (found["cases"], found["numbers"]) == (0, 0)
    (item,) = found["not_run"]
    assert item["reason"] == "nothing"
    assert item["cases"] >= STRETCH * len(HIDDEN)


def test_the_worst_ratio_is_kept_with_its_equation(ranges_of):
    ranges = ranges_of(NumpyEngine(), cases=STRETCH + 5)
    assert [(each["start"], each["stop"]) for each in ranges] == [(0, STRETCH), (STRETCH, STRETCH + 5)]
    (item,) = counted(ranges)["by"]
    ratio, equation = max(each["worst"] for each in ranges)
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
        unexplained, named = explain_findings(findings, rows, "torch-eager", (SEED, kind, dtype, 0))
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
    unexplained, named = explain_findings(
        [jsonable(finding_record(f)) for f in findings], [], "torch-eager", OVERFLOWING
    )
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
    assert explain_findings([finding], [], engine, place) == ([finding], [])


def test_what_is_explained_is_counted_by_its_row_and_is_no_alarm(ranges_of):
    def halved(trace):
        return replace(trace, loss=trace.loss / 2)

    ranges = ranges_of(wrong(halved), "float64", 4, spec="torch-eager")
    losses = sorted({combination_of("ordinary", "float64", index).loss for index in range(4)})
    rows = [row(loss, "value", departure=1.0) for loss in losses[1:]]
    found = counted(ranges, rows)
    assert {alarm["combination"][2] for alarm in found["alarms"]} == {losses[0]}
    assert set(found["explained"]["rows"]) == {f"{loss}/value" for loss in losses[1:]}
    assert found["explained"]["findings"] + len(found["alarms"]) == 4


# --- the journal


@pytest.fixture
def journal(tmp_path):
    return tmp_path / JOURNAL


def audited_range(start=0, stop=50, cases=40, kind="kinks", breaks=()):
    about = {"engine": "numpy", "dtype": "float32", "kind": kind, "start": start, "stop": stop, "cases": cases}
    found = {"numbers": 10 * cases, "redrawn": 1, "not_run": {"lacks it": stop - start - cases}, "worst": [0.5, "z"]}
    return {**about, **found, "breaks": list(breaks), "seconds": 0.1}


def silent(notice):
    raise AssertionError(f"no notice is due, but {notice!r} came")


def test_a_journal_is_begun_and_read(journal):
    first = header(SEED, "cpu")
    assert opened(journal, first, silent) == []
    append(journal, audited_range())
    append(journal, audited_range(50, 100))
    assert opened(journal, first, silent) == [audited_range(), audited_range(50, 100)]


@pytest.mark.parametrize("torn", [b'{"engine": "nu', b'{"engine": "numpy"}', b"[1, 2]\n", b"\xff\n"])
def test_a_torn_last_line_is_dropped_with_a_notice(journal, torn):
    first, notices = header(SEED, "cpu"), []
    append(journal, first)
    append(journal, audited_range())
    whole = journal.read_bytes()
    journal.write_bytes(whole + torn)
    assert opened(journal, first, notices.append) == [audited_range()]
    (notice,) = notices
    assert "line, 3, is torn" in notice
    assert journal.read_bytes() == whole
    assert opened(journal, first, silent) == [audited_range()]


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"seed": 7}, "seed 7, but should have 2026"),
        ({"device": "gpu"}, "device 'gpu'"),
        ({"threads": 2}, "threads 2, but should have 1"),
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


def every_workload(quota, ranges):
    return list(workloads(quota, ranges, "cpu", SEED, Path(JOURNAL)))


def test_what_is_done_is_not_run_again():
    wanted = quotas(("numpy",), ("float32",), 100 * len(KINDS))
    done = [
        audited_range(0, 50, 40),
        audited_range(50, 100, 45),
        audited_range(0, 50, 50, "zeros"),
        audited_range(50, 100, 50, "zeros"),
    ]
    left = {kind: rest for workload in every_workload(wanted, done) for kind, *rest in workload.portions}
    assert left["kinks"] == [100, 15]
    assert "zeros" not in left
    assert left["ordinary"] == [0, 100]


def test_a_workload_has_one_shape_and_all_kinds_are_in_one():
    wanted = quotas(("numpy", "jax-jit"), DTYPES, 9600)
    found = every_workload(wanted, [])
    assert all(len({KINDS[kind].shape for kind, *_ in workload.portions}) == 1 for workload in found)
    stretches = [(workload.spec, workload.dtype, kind) for workload in found for kind, *_ in workload.portions]
    assert sorted(stretches) == sorted(wanted)


def test_cases_are_spread_evenly():
    wanted = quotas(false_alarms.ENGINES, DTYPES, 200_001)
    assert sum(wanted.values()) == 200_001
    assert len(wanted) == 3 * 4 * len(KINDS)
    assert max(wanted.values()) - min(wanted.values()) == 1


# --- the whole


def test_a_campaign_in_workers_goes_on_from_its_journal(tmp_path):
    first, again, notices = [], [], []
    kinds = len(KINDS)
    found = measure(("numpy",), "cpu", ("float32",), kinds, SEED, tmp_path, 1, lambda *n: first.append(n), silent)
    assert (found["cases"], found["alarms"], found["explained"]["findings"]) == (kinds, [], 0)
    assert first[-1] == (kinds, kinds)
    lines = (tmp_path / JOURNAL).read_text().splitlines(keepends=True)
    (tmp_path / JOURNAL).write_text("".join(lines)[:-5])
    more = measure(
        ("numpy",), "cpu", ("float32",), 2 * kinds, SEED, tmp_path, 1, lambda *n: again.append(n), notices.append
    )
    assert more["cases"] == 2 * kinds
    assert len(notices) == 1
    kept = (tmp_path / JOURNAL).read_text().splitlines(keepends=True)
    assert kept[: len(lines) - 1] == lines[:-1]
    ranges = [(c["kind"], i) for c in map(json.loads, kept[1:]) for i in range(c["start"], c["stop"])]
    assert len(ranges) == len(set(ranges)) >= 2 * kinds
    done = measure(("numpy",), "cpu", ("float32",), kinds, SEED, tmp_path, 1, silent, silent)
    assert done["numbers"] == more["numbers"]


def test_the_order_of_the_journal_does_not_change_what_is_counted(tmp_path):
    """Workers add their lines as they come; the rows stand in the order of engines, formats and kinds."""
    dtypes = "float64", "float32"

    def measured():
        found = measure(("numpy",), "cpu", dtypes, 2 * len(KINDS), SEED, tmp_path, 1, tell=silent)
        return {key: value for key, value in found.items() if key != "seconds"}

    once = measured()
    first, *lines = (tmp_path / JOURNAL).read_text().splitlines(keepends=True)
    (tmp_path / JOURNAL).write_text("".join([first, *reversed(lines)]))
    assert measured() == once
    assert [(row["dtype"], row["kind"]) for row in once["by"]] == list(product(dtypes, KINDS))


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
