"""Digits that tell numbers apart."""

import pytest

from reports.page.digits import digits, numbers, rounded


@pytest.mark.parametrize(
    ("expected", "observed", "count"),
    [
        ("1.0129990980873921e-05", "0.0", 3),
        ("0.16666666666666666", "0.1666666716337204", 9),
        ("20.500000001250152", "20.5", 11),
        ("-0.5347999756173761", "-0.5347999756173618", 14),
        ("[0.1, 0.25]", "[0.1, 0.2500001]", 7),
        ("1.0", "nan", 3),
        ("1.0", "1.0", 3),
        ("1.0000000000000002", "1.0", 17),
        ("0.0625 (by its formula)", "0.125 (one step late)", 3),
    ],
)
def test_the_fewest_digits_that_tell_two_texts_apart(expected: str, observed: str, count: int) -> None:
    assert digits(expected, [observed]) == digits(observed, [expected]) == count
    if expected != observed:
        assert rounded(expected, count) != rounded(observed, count)
    if 3 < count < 17:
        assert rounded(expected, count - 1) == rounded(observed, count - 1)


def test_of_several_texts_the_nearest_decides() -> None:
    assert digits("1.5", ["2.5", "1.5000012", "1.5"]) == 7
    assert digits("1.5", []) == 3


def test_what_differs_beside_its_numbers_alone_has_all_digits() -> None:
    assert digits("0.5 (mean)", ["0.5 (sum)"]) == 17


@pytest.mark.parametrize(
    ("text", "short"),
    [
        ("[-2.5631942662640374e+19, 0.3333333333333333]", "[-2.56e+19, 0.333]"),
        ("65504.0", "65504"),
        ("-0.0", "-0"),
        ("0.09112498909235 (in float32)", "0.0911 (in float32)"),
        ("torch 2.13.0 raised E1.5x", "torch 2.13.0 raised E1.5x"),
        ("nan", "nan"),
    ],
)
def test_numbers_are_rounded_where_they_stand(text: str, short: str) -> None:
    assert rounded(text, 3) == short
    assert rounded(text, 17) == text


def test_part_of_a_word_is_no_number() -> None:
    assert numbers("float32 of log1p(-0.5), 4096 rows, 1e-160 and v2.13.0") == [-0.5, 4096, 1e-160]
