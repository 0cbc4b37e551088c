"""`divergences`: the file that it writes."""

import json


def test_divergences_are_written(call, tmp_path):
    status, text, err = call("divergences", "--engines", "numpy", "--dtypes", "float16", "--out", tmp_path)
    assert (status, err) == (0, "")
    found = json.loads((tmp_path / "divergences.json").read_text(encoding="utf-8"))
    assert found["schema"] == "backprop-parity/divergences/1"
    assert found["rows"]
    assert len({row["id"] for row in found["rows"]}) == len(found["rows"])
    assert "float16" in {row["dtype"] for row in found["rows"]}
    assert str(tmp_path / "divergences.json") in text
    assert [path.name for path in tmp_path.iterdir()] == ["divergences.json"]
