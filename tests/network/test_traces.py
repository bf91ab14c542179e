"""Traces against a count line by line, and against Mahimahi's own rule for a queue that never runs empty."""

import math
from pathlib import Path

import numpy as np
import pytest

from dnn_surgery.errors import InputError
from dnn_surgery.network.traces import OPPORTUNITY_BYTES, MahimahiTrace, SteppedTrace, read_trace

OWN = Path(__file__).parent / "data" / "short.up"
SHARED = sorted((Path(__file__).parents[3] / "shared" / "traces").glob("*.up"))
TRACES = [OWN, *SHARED]


def moments(path: Path, rounds: int) -> list[int]:
    """Every opportunity's millisecond, one by one."""
    once = [int(line) for line in path.read_text().split()]
    return [lap * once[-1] + moment for lap in range(rounds) for moment in once]


def trace_of(text: str, folder: Path, name: str = "trace.up") -> Path:
    path = folder / name
    path.write_text(text)
    return path


@pytest.mark.parametrize("path", TRACES, ids=lambda path: path.name)
def test_capacity_counts_the_lines_up_to_a_moment(path: Path) -> None:
    trace = read_trace(path)
    every = np.array(moments(path, 3))
    at_ms = np.random.default_rng(1).integers(0, every[-1], 2000)
    expected = [OPPORTUNITY_BYTES * np.count_nonzero(every <= moment) for moment in at_ms[:50]]
    assert trace.capacity(at_ms / 1e3)[:50].tolist() == expected
    assert [trace.capacity(moment / 1e3) for moment in at_ms[:50]] == expected
    assert trace.duration_s == every[-1] / 3e3
    assert trace.mean_bps == pytest.approx(8 * OPPORTUNITY_BYTES * len(every) / (every[-1] / 1e3))


@pytest.mark.parametrize("path", TRACES, ids=lambda path: path.name)
def test_finish_is_the_line_that_carries_the_last_byte(path: Path) -> None:
    trace = read_trace(path)
    every = moments(path, 4)
    draw = np.random.default_rng(2)
    for _ in range(50):
        start_ms = int(draw.integers(0, every[-1] // 4))
        size_bytes = int(draw.integers(1, OPPORTUNITY_BYTES * len(every) // 4))
        later = [moment for moment in every if moment > start_ms]
        expected_s = later[math.ceil(size_bytes / OPPORTUNITY_BYTES) - 1] / 1e3
        assert trace.finish(start_ms / 1e3, size_bytes) == expected_s


@pytest.mark.parametrize("path", TRACES, ids=lambda path: path.name)
def test_arrays_answer_as_numbers_do(path: Path) -> None:
    trace = read_trace(path)
    draw = np.random.default_rng(3)
    starts_s, sizes = draw.uniform(0, 1000, 200), draw.integers(0, 10**6, 200).astype(float)
    finished = trace.finish(starts_s, sizes)
    assert finished.tolist() == [trace.finish(float(s), float(b)) for s, b in zip(starts_s, sizes, strict=True)]
    assert np.all(trace.bytes_between(starts_s, finished) >= sizes)
    rates = trace.rate_at(starts_s)
    assert rates.tolist() == [trace.rate_at(float(s)) for s in starts_s]


def test_what_the_file_says(tmp_path: Path) -> None:
    trace = read_trace(trace_of("0\n2\n2\n10\n", tmp_path))
    assert [trace.capacity(at_s) / 1500 for at_s in (0.0, 0.001, 0.002, 0.0099, 0.01, 0.012)] == [1, 1, 3, 3, 5, 7]
    assert trace.bytes_between(0.0, 0.01) == 4 * 1500
    assert trace.finish(0.0, 1) == 0.002  # the moment 0 is over
    assert trace.finish(0.0, 3000) == 0.002
    assert trace.finish(0.0, 3001) == 0.01
    assert trace.finish(0.002, 4500) == 0.012  # 10, then 0 and 2 of the next round
    assert trace.finish(5.0031, 0) == 5.0031
    assert trace.rate_at(0.005, window_s=0.01) == 4 * 1500 * 8 / 0.01


def test_steps_against_an_integral(tmp_path: Path) -> None:
    path = trace_of("seconds,Mbit/s\n10,8\n12,0\n13, 4\n15,16\n", tmp_path, "steps.csv")
    trace = read_trace(path)
    assert isinstance(trace, SteppedTrace)
    assert trace.duration_s == 7  # the last rate holds as long as the one before it
    grid_s = np.linspace(0, 21, 2_100_001)
    rates = np.array([1e6, 1e6, 0, 0.5e6, 0.5e6, 2e6, 2e6])[(grid_s[:-1] % 7).astype(int)]
    integral = np.concatenate([[0.0], np.cumsum(rates * np.diff(grid_s))])
    places = np.random.default_rng(4).integers(0, len(grid_s), 500)
    np.testing.assert_allclose(trace.capacity(grid_s[places]), integral[places], atol=50)
    assert trace.finish(1.0, 1e6) == pytest.approx(2.0)
    assert trace.finish(1.0, 1e6 + 1) == pytest.approx(3.000002)  # after a second in which nothing leaves
    assert trace.finish(2.5, 0) == 2.5
    assert trace.finish(0.0, trace.total_bytes * 2) == pytest.approx(14.0)
    assert trace.rate_at(0.5, window_s=0.2) == pytest.approx(8e6)
    assert trace.peak_bps == pytest.approx(16e6)


def test_one_line_of_csv_is_a_constant_rate(tmp_path: Path) -> None:
    trace = read_trace(trace_of("0,2.5\n", tmp_path, "one.csv"))
    assert trace.finish(123.4, 2.5e6 / 8) == pytest.approx(124.4)


@pytest.mark.parametrize(
    ("text", "name", "message"),
    [
        ("", "a.up", ":1: the trace is empty"),
        ("\n \n", "a.up", ":1: the trace is empty"),
        ("1\n2\nthree\n", "a.up", ":3: expected a whole number of milliseconds, got 'three'"),
        ("1\n-2\n", "a.up", ":2: expected a whole number"),
        ("1\n\n2\n", "a.up", ":2: expected a whole number"),
        ("1.5\n", "a.up", ":1: expected a whole number"),
        ("9" * 30, "a.up", ":1: expected a whole number"),
        ("5\n4\n", "a.up", ":2: 4 ms comes after 5 ms"),
        ("0\n0\n", "a.up", ":2: the trace must end later than at 0 ms"),
        ("seconds,Mbit/s\n", "a.csv", ":1: the trace has a header and nothing else"),
        ("0,1\n1\n", "a.csv", ":2: expected seconds and Mbit/s, got '1'"),
        ("0,1\n1,-1\n", "a.csv", ":2: expected seconds and Mbit/s"),
        ("0,1\n1,nan\n", "a.csv", ":2: expected seconds and Mbit/s"),
        ("0,1\n0,2\n", "a.csv", ":2: 0 s comes after 0 s"),
        ("0,0\n1,0\n", "a.csv", ":1: the rate is 0 throughout"),
    ],
)
def test_errors_name_file_and_line(tmp_path: Path, text: str, name: str, message: str) -> None:
    path = trace_of(text, tmp_path, name)
    with pytest.raises(InputError) as caught:
        read_trace(path)
    assert str(caught.value).startswith(f"{path}{message}")
    assert "\n" not in str(caught.value)


def test_files_that_are_no_text_or_not_there(tmp_path: Path) -> None:
    (tmp_path / "x.up").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(InputError, match="it is not text"):
        read_trace(tmp_path / "x.up")
    with pytest.raises(InputError, match=r"missing\.up: cannot read this trace: No such file"):
        read_trace(tmp_path / "missing.up")


def test_a_moment_is_met_although_seconds_are_no_exact_fractions() -> None:
    trace = MahimahiTrace(np.arange(1, 101, dtype=np.int64))
    at_s = np.array([lap * 0.1 + moment / 1e3 for lap in range(1000) for moment in range(1, 101)])
    assert trace.capacity(at_s).tolist() == [1500.0 * (number + 1) for number in range(len(at_s))]
