from __future__ import annotations

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dnn_surgery.errors import UnitError
from dnn_surgery.units import (
    format_bandwidth,
    format_duration,
    format_size,
    parse_bandwidth,
    parse_duration,
    parse_size,
)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("5.85Mbit/s", 5.85e6),
        ("5.85mbit", 5.85e6),
        ("5.85 Mbit/s", 5.85e6),
        ("130kbit", 130e3),
        ("100kbps", 100e3),
        ("1MB/s", 8e6),
        ("2Gbit/s", 2e9),
        ("9600", 9600.0),
        ("1e6", 1e6),
        ("1Mibit/s", 2.0**20),
    ],
)
def test_bandwidths(text: str, expected: float) -> None:
    assert parse_bandwidth(text) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("text", "expected"),
    [("40ms", 0.04), ("1.5s", 1.5), ("200us", 2e-4), ("2min", 120.0), ("0", 0.0), ("3 h", 10800.0)],
)
def test_durations(text: str, expected: float) -> None:
    assert parse_duration(text) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("text", "expected"), [("2GB", 2 * 10**9), ("64MiB", 64 * 2**20), ("4096", 4096), ("1kB", 1000)]
)
def test_sizes(text: str, expected: int) -> None:
    assert parse_size(text) == expected


@pytest.mark.parametrize(
    "text", ["", "fast", "-1Mbit/s", "0", "5 apples", "nan", "inf", "1e999", "Mbit/s", "5.85Mbits/h"]
)
def test_what_is_no_bandwidth(text: str) -> None:
    with pytest.raises(UnitError) as raised:
        parse_bandwidth(text)
    assert repr(text) in str(raised.value)


@pytest.mark.parametrize("text", ["", "soon", "-1s", "5 Mbit", "nan"])
def test_what_is_no_duration(text: str) -> None:
    with pytest.raises(UnitError) as raised:
        parse_duration(text)
    assert repr(text) in str(raised.value)


@given(st.text(max_size=20))
def test_nothing_but_a_unit_error_escapes(text: str) -> None:
    for parse in (parse_bandwidth, parse_duration, parse_size):
        with suppress(UnitError):
            assert parse(text) >= 0


def test_formats_read_well() -> None:
    assert format_bandwidth(5.85e6) == "5.85 Mbit/s"
    assert format_bandwidth(130e3) == "130 kbit/s"
    assert format_duration(0.0412) == "41.2 ms"
    assert format_duration(3.7) == "3.7 s"
    assert format_duration(0) == "0 s"
    assert format_size(602_112) == "602 kB"
    assert format_size(12) == "12 B"
