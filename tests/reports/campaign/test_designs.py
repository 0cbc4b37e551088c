"""The designs: that the default one has every pair of neighbours in every engine and format, proven on what is run."""

from dataclasses import replace
from functools import cache
from itertools import product

import numpy as np
import pytest

from adapters.contract import ENGINES, lacks, load
from reference.activations import ACTIVATIONS, HIDDEN, OUTPUT
from reference.case import Case, fits
from reference.cases import COMBINATIONS, Combination
from reference.losses import LOSSES
from reference.rounding import DTYPES
from reports.__main__ import parser
from reports.campaign.designs import ALL, DESIGNS, FEW, FEWER, NEIGHBOURS, THOROUGH, Depth
from reports.commands.audit import request_of

ONE = np.array([[1.0]])

EACH = tuple(engine for engine in ENGINES if engine != "jax-whole")


def asked(*options):
    """What a call of `audit` asks for, by engine and format."""
    request = request_of(parser().parse_args(["audit", *options]))
    return {
        (engine, dtype): set(kept)
        for engine, by_dtype in request.combinations.items()
        for dtype, kept in by_dtype.items()
    }


def neighbours_in(combinations):
    """The pairs that stand next to each other in networks."""
    return {("hidden", c.hidden, c.output) for c in combinations} | {("loss", c.output, c.loss) for c in combinations}


def neighbours_of_tables():
    """Every such pair of the tables, written down apart from the designs."""
    hidden = [f for f in ACTIVATIONS if not ACTIVATIONS[f].coupled]
    return {("hidden", *pair) for pair in product(hidden, ACTIVATIONS)} | {
        ("loss", output, loss) for output, loss in product(ACTIVATIONS, LOSSES) if fits(output, loss)
    }


def missing(by_column):
    """(engine, dtype, pair) of every pair of neighbours that a campaign lacks."""
    return {
        (engine, dtype, pair)
        for engine, dtype in product(EACH, DTYPES)
        for pair in neighbours_of_tables() - neighbours_in(by_column[engine, dtype])
    }


def test_by_default_all_neighbours_meet_in_every_engine_and_format():
    assert missing(asked()) == set()


def test_a_pair_that_is_left_out_is_seen():
    for engine, dtype in product(EACH, DTYPES):
        without = asked()
        gone = next(iter(sorted(without[engine, dtype])))
        without[engine, dtype].remove(gone)
        assert missing(without) == {(engine, dtype, ("hidden", gone.hidden, gone.output))}


@cache
def supported(engine):
    """The combinations that an engine computes."""
    adapter = load(engine)
    small = Case("tanh", "tanh", "huber", "float32", {1: ONE, 2: ONE}, {1: ONE[0], 2: ONE[0]}, ONE, ONE)
    return {
        names
        for names in COMBINATIONS
        if lacks(adapter, replace(small, hidden=names.hidden, output=names.output, loss=names.loss)) is None
    }


def roles(combinations):
    """Each function in its role."""
    return {(role, name) for names in combinations for role, name in names._asdict().items()}


@pytest.mark.parametrize("engine", EACH)
def test_no_pair_is_lost_where_an_engine_lacks_a_function(engine):
    """Of all that an engine computes, the pairs of neighbours are in what it computes of the covering design."""
    for dtype in DTYPES:
        computed = asked()[engine, dtype] & supported(engine)
        lost = neighbours_in(supported(engine)) - neighbours_in(computed)
        assert lost == set(), f"{dtype}: {sorted(lost)[:3]}"


def test_a_pair_that_an_engine_cannot_compute_in_the_only_combination_is_seen():
    """JAX lacks tanhshrink: a loss that stood behind it alone would be lost."""
    only = {c for c in NEIGHBOURS if c.loss != "huber"} | {Combination("tanhshrink", "sigmoid", "huber")}
    lost = neighbours_in(supported("jax-jit")) - neighbours_in(only & supported("jax-jit"))
    assert ("loss", "sigmoid", "huber") in lost


def test_by_default_the_whole_program_has_every_function_in_every_role():
    computed = [asked()["jax-whole", dtype] & supported("jax-whole") for dtype in DTYPES]
    assert set().union(*map(roles, computed)) == roles(supported("jax-whole"))
    assert all(computed)


@pytest.mark.parametrize("options", [(), ("--full",)], ids=["covering", "full"])
def test_every_experiment_has_every_function_in_every_engine_and_format(options):
    design = DESIGNS[request_of(parser().parse_args(["audit", *options])).design]
    for (engine, dtype), kept in asked(*options).items():
        depths = {names: design.extent(engine).depth(names) for names in kept & supported(engine)}
        assert any(depth.alone for depth in depths.values()), f"(5a) is in no cell of {engine} {dtype}"
        for part in ("experiments", "first_order"):
            having = {names for names, depth in depths.items() if getattr(depth, part)}
            assert having, f"{part} is in no cell of {engine} {dtype}"
            if engine != "jax-whole":
                assert roles(having) == roles(supported(engine)), f"{part}, {engine} {dtype}"


def test_an_adapter_of_a_third_party_has_every_combination(tmp_path):
    for (_, dtype), kept in asked("--adapter", "mine.py:Mine").items():
        assert kept == ALL, dtype


def test_first_order_and_alone_are_parts_of_the_experiments():
    for design, engine in product(DESIGNS.values(), (*ENGINES, "mine.py:Mine")):
        for names in COMBINATIONS:
            depth = design.extent(engine).depth(names)
            assert depth.experiments or depth == Depth(False, False, False)


def test_full_is_every_valid_combination_and_has_all_that_others_have():
    full, covering, quick = asked("--full"), asked(), asked("--quick")
    for engine, dtype in product(EACH, DTYPES):
        assert full[engine, dtype] == set(COMBINATIONS)
    for column, names in (*covering.items(), *quick.items()):
        assert names <= full[column]
    assert FEWER < FEW < THOROUGH < NEIGHBOURS < ALL


def test_quick_is_a_part_of_what_is_usual():
    quick = DESIGNS["quick"]
    assert (quick.engines, quick.dtypes) == (("numpy", "torch-eager"), ("float32", "float64"))
    for role, names in (("hidden", HIDDEN), ("output", OUTPUT), ("loss", tuple(LOSSES))):
        assert set(getattr(quick, role)) < set(names)
        assert set(getattr(quick, role)) == {getattr(c, role) for c in asked("--quick")["numpy", "float32"]}


def test_functions_that_are_named_are_audited_in_every_combination():
    named = asked("--hidden", "tanh,relu", "--output", "softmax")
    expected = {c for c in COMBINATIONS if c.hidden in ("tanh", "relu") and c.output == "softmax"}
    for engine, dtype in product(EACH, DTYPES):
        assert named[engine, dtype] == expected


def test_quick_and_full_exclude_each_other(capsys):
    with pytest.raises(SystemExit) as error:
        parser().parse_args(["audit", "--quick", "--full"])
    assert error.value.code == 2
    assert "not allowed with" in capsys.readouterr().err
