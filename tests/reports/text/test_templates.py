"""Templates: what is put into them stays text, and a name that is missing is an error."""

import pytest
from jinja2 import UndefinedError

from reports.text.templates import pages


def test_what_is_put_in_is_escaped(tmp_path):
    (tmp_path / "page.j2").write_text("<p>{{ text }}</p>", encoding="utf-8")
    assert pages(tmp_path).get_template("page.j2").render(text="<b>&") == "<p>&lt;b&gt;&amp;</p>"


def test_a_missing_name_raises(tmp_path):
    (tmp_path / "page.j2").write_text("{{ misspelt }}", encoding="utf-8")
    with pytest.raises(UndefinedError, match="misspelt"):
        pages(tmp_path).get_template("page.j2").render(text="")
