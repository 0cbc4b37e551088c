"""The heat maps: a tile shows what is typical of its cells, or the worst that breaks, and tells how they stand."""

import math
from collections import Counter

import pytest

from reports.campaign.standing import items
from reports.page.heatmaps import ABSENT, DESIGNS, Engine, Line, Tile, counts_text, engines
from reports.results.verdicts import Verdict
from tests.reports.page.reading import read, tooltips
from tests.reports.samples import (
    DTYPES,
    Results,
    break_first,
    crossed,
    divergence,
    explain,
    finding,
    leave_out,
    sample,
    small,
    spoil,
)


def drawn(results: Results) -> Engine:
    (engine,) = engines(items(results))
    return engine


def tiles(results: Results) -> dict[tuple[str, str], Tile]:
    """The tiles by hidden activation or loss, and output."""
    engine = drawn(results)
    (heat_map,) = engine.maps
    return {
        (line.name, output): tile
        for line in (*heat_map.hidden, *heat_map.losses)
        for output, tile in zip(engine.outputs, line.tiles, strict=True)
    }


def cells_of(tile: Tile) -> int:
    """How many cells a tile says that it stands for."""
    return int(tile.title.split("; ")[-1].split()[0])


def set_ratios(results: Results, *ratios: float) -> Results:
    for record, ratio in zip(results["cells"], ratios, strict=True):
        record["checked"] = {"2a": [1.0, 1, 9], "14": [ratio, 2, 9], "9": [ratio / 2, 3, 9]}
    return results


def test_there_is_a_map_for_each_engine_and_dtype() -> None:
    found = engines(items(sample(dtypes=DTYPES)))
    assert [engine.name for engine in found] == ["torch-eager", "jax-jit", "numpy"]
    assert all([heat_map.dtype for heat_map in engine.maps] == list(DTYPES) for engine in found)
    assert all(len(engine.outputs) == 8 for engine in found)
    assert [len(found[0].maps[0].hidden), len(found[0].maps[0].losses)] == [7, 5]


def test_every_cell_is_in_a_tile_of_each_half() -> None:
    for engine in engines(items(sample())):
        for heat_map in engine.maps:
            for lines in (heat_map.hidden, heat_map.losses):
                told = [cells_of(tile) for line in lines for tile in line.tiles if tile is not ABSENT]
                assert sum(told) == 84
                assert sum(cells_of(line.all) for line in lines) == 84


RATIOS = (0.1, 0.9, 0.2, 0.3, 0.5, 0.4, 0.7, 0.5)
"""Of tanh: identity with huber and hinge, sigmoid with huber and hinge; then of relu."""


def test_a_tile_that_holds_shows_the_median_over_the_losses_above_and_over_the_activations_below() -> None:
    found = tiles(set_ratios(crossed(), *RATIOS))
    ratios = {where: tile.ratio for where, tile in found.items()}
    assert ratios == {
        ("tanh", "identity"): ".50",
        ("tanh", "sigmoid"): ".25",
        ("relu", "identity"): ".45",
        ("relu", "sigmoid"): ".60",
        ("huber", "identity"): ".15",
        ("huber", "sigmoid"): ".22",
        ("hinge", "identity"): ".32",
        ("hinge", "sigmoid"): ".20",
    }
    assert found["tanh", "identity"] == Tile(
        "use-2", "", ".50", "tanh → identity: typically 0.50; worst 0.90 in (14), layer 2, hinge; 2 cells hold"
    )
    title = "hinge of sigmoid: typically 0.20; worst 0.50 in (14), layer 2, relu; 2 cells hold"
    assert found["hinge", "sigmoid"].title == title


def test_a_line_shows_the_median_of_all_and_tells_the_worst() -> None:
    (heat_map,) = drawn(set_ratios(crossed(), *RATIOS)).maps
    assert [line.all.ratio for line in (*heat_map.hidden, *heat_map.losses)] == [".25", ".50", ".17", ".22"]
    title = "tanh: typically 0.25; worst 0.90 in (14), layer 2, identity, hinge; 4 cells hold"
    assert heat_map.hidden[0].all.title == title


def test_the_rounding_of_a_product_does_not_colour_a_tile_but_is_in_its_tooltip() -> None:
    results = set_ratios(crossed(), *RATIOS)
    before = tiles(results)
    for record in results["cells"]:
        record["checked"]["7a"] = [0.99, 3, 9]
    for where, tile in tiles(results).items():
        assert (tile.kind, tile.ratio) == (before[where].kind, before[where].ratio)
        assert "worst 0.99 in (7a), layer 3" in tile.title


def test_one_cell_that_breaks_is_shown_whatever_is_typical_and_in_whatever_equation() -> None:
    results = set_ratios(crossed(), *RATIOS)
    spoil(results["cells"][0], "7a", 2, 1.2)
    tile = tiles(results)["tanh", "identity"]
    assert (tile.kind, tile.mark, tile.ratio) == ("broken", "✕", "1.2")
    assert "typically" not in tile.title


def test_2a_and_2b_are_told_only_where_they_break_or_are_alone() -> None:
    results = set_ratios(crossed(), *[0.1] * 8)
    assert tiles(results)["tanh", "identity"].ratio == ".10"
    results["cells"][0]["checked"] = {"2b": [1.0, 1, 9]}
    assert "1.00 in (2b)" in tiles(results)["tanh", "identity"].title
    spoil(results["cells"][0], "2a", 1, 1.5)
    assert "1.5 in (2a)" in tiles(results)["tanh", "identity"].title


@pytest.mark.parametrize(("ratio", "text"), [(1.00001, "1.01"), (7.0, "7.0"), ("NaN", "NaN"), ("Infinity", "∞")])
def test_a_break_is_shown_before_anything_else(ratio: float | str, text: str) -> None:
    results = explain(set_ratios(crossed(), *[0.1] * 8), 1, "softplus-linear") | {"divergences": [divergence()]}
    spoil(results["cells"][1], "14", 2, ratio)
    tile = tiles(results)["tanh", "identity"]
    assert (tile.kind, tile.mark, tile.ratio) == ("broken", "✕", text)
    assert tile.title == (f"tanh → identity: {text} in (14), layer 2, hinge; 2 cells: 1 breaks, 1 breaks as listed")


def test_the_first_finding_is_told_of_a_break() -> None:
    results = crossed()
    results["cells"][0]["findings"] = [finding("9", 3, 2.0), finding("14", 2, 50.0)]
    assert "2.0 in (9), layer 3" in tiles(results)["tanh", "identity"].title


def test_an_explained_break_is_marked_apart() -> None:
    results = explain(crossed(), 1, "softplus-linear") | {"divergences": [divergence()]}
    tile = tiles(results)["tanh", "identity"]
    assert (tile.kind, tile.mark) == ("listed", "≠")
    assert tile.title.endswith("2 cells: 1 holds, 1 breaks as listed")


def test_a_break_without_a_number_gives_its_reason() -> None:
    results = crossed()
    results["cells"][0] |= {"verdict": "breaks", "reason": "no kernel", "checked": {}}
    tile = tiles(results)["tanh", "identity"]
    assert (tile.kind, tile.mark, tile.ratio) == ("broken", "✕", "")
    assert tile.title == "tanh → identity: no kernel; 2 cells: 1 holds, 1 breaks"


def test_a_tile_is_hatched_only_where_no_cell_was_run() -> None:
    results = crossed()
    leave_out(results["cells"][0], "no tanh")
    assert tiles(results)["tanh", "identity"].kind.startswith("use-")
    assert tiles(results)["tanh", "identity"].title.endswith("2 cells: 1 holds, 1 not run")
    leave_out(results["cells"][1], "no tanh")
    assert tiles(results)["tanh", "identity"] == Tile(
        "not-run-tile", "", "", "tanh → identity: no tanh; 2 cells not run"
    )
    leave_out(results["cells"][1], "no hinge")
    assert "no tanh, and 1 other reason; 2 cells" in tiles(results)["tanh", "identity"].title


def test_where_there_is_no_cell_there_is_no_tile() -> None:
    results = crossed()
    del results["cells"][:2]
    assert tiles(results)["tanh", "identity"] is ABSENT


def test_a_name_may_take_the_room_before_the_first_tile() -> None:
    there = Tile("use-0", "", "0", "there")
    leads = [Line("", tiles, ABSENT).lead for tiles in ([there], [ABSENT, ABSENT, there, ABSENT], [ABSENT])]
    assert leads == [0, 2, 1]


def test_open_are_the_first_engine_and_those_that_break() -> None:
    results = sample()
    assert [engine.open for engine in engines(items(results))] == [True, False, False]
    spoil(results["cells"][-1])
    assert [engine.open for engine in engines(items(results))] == [True, False, True]
    results["cells"][-1]["explained"] = "softplus-linear"
    assert [e.open for e in engines(items(results | {"divergences": [divergence()]}))] == [True, False, False]


def test_two_devices_share_a_tile() -> None:
    results = small(1)
    other = results["cells"][0] | {"device": "cuda", "checked": {"14": [9.0, 2, 9]}}
    for cells in ([results["cells"][0], other], [other, results["cells"][0]]):
        assert tiles(results | {"cells": cells})["identity", "identity"].kind == "broken"


def test_training_runs_have_no_tile() -> None:
    assert engines(items(sample() | {"cells": []})) == []


def test_counts_as_text() -> None:
    assert counts_text(Counter({Verdict.HOLDS: 1})) == "1 cell holds"
    assert counts_text(Counter({Verdict.HOLDS: 70000})) == "70,000 cells hold"
    every = Counter({Verdict.HOLDS: 3, Verdict.BREAKS: 2, Verdict.EXPLAINED: 1, Verdict.NOT_RUN: 4})
    assert counts_text(every) == "10 cells: 3 hold, 2 break, 1 breaks as listed, 4 not run"


def test_nan_outranks_every_number() -> None:
    results = set_ratios(crossed(), 5.0, math.nan, *[0.1] * 6)
    assert tiles(results)["tanh", "identity"].ratio == "NaN"


# --- on the page


def test_a_nan_is_unmistakable_everywhere() -> None:
    reader = read(break_first(small(), "z", 1, "NaN"))
    assert "✕ NaN" in reader.text
    assert "✕NaN" in reader.text
    assert all("NaN in (z), layer 1" in title for title in tooltips(reader, "broken"))
    assert len(tooltips(reader, "broken")) == 2, "a tile above, one below"


def test_every_tile_of_the_maps_is_on_the_page() -> None:
    reader = read(sample())
    told = [title for kind in range(5) for title in tooltips(reader, f"use-{kind}")]
    assert len(told) == 6 * (7 * 8 + 12)


def test_a_tile_that_was_not_run_shows_its_reason() -> None:
    results = small()
    leave_out(results["cells"][2], "tanh is not supported")
    reader = read(results)
    assert tooltips(reader, "not-run-tile") == [
        f"{where}: tanh is not supported; 1 cell not run" for where in ("identity → tanh", "half squared error of tanh")
    ]


def test_engines_are_folded_but_the_first_and_those_that_break() -> None:
    results = sample()
    spoil(results["cells"][-1])
    folded = [("open" in a) for tag, a in read(results).seen if tag == "details" and a.get("class") == "engine-maps"]
    assert folded == [True, False, True]


@pytest.mark.parametrize("design", ["covering", "full", "quick", None])
def test_the_maps_say_which_cells_an_audit_has(design: str | None) -> None:
    results = small()
    if design is not None:
        results["request"]["design"] = design
    html = read(results).html
    assert [text for text in DESIGNS.values() if text in html] == ([DESIGNS[design]] if design else [])
