"""Random problems as dictionaries of a problem file: ties, zeros, several inputs and outputs, long skips."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

# Small whole numbers make ties and zeros; the powers spread costs over nine orders of magnitude.
SECONDS = st.one_of(
    st.integers(0, 4).map(float),
    st.builds(lambda digits, power: digits * 10.0**power, st.integers(0, 999), st.integers(-9, -1)),
)
BYTES = st.one_of(
    st.integers(0, 4).map(float),
    st.builds(lambda digits, power: digits * 10.0**power, st.integers(0, 99), st.integers(0, 7)),
)
BANDWIDTHS = st.sampled_from([1.0, 8.0, 40.0, 1e3, 1.1e6, 5.85e6, 1e9])


@st.composite
def problems(
    draw: st.DrawFn, *, layers: int = 8, codecs: bool = False, rules: bool = False, measured: bool = False
) -> dict[str, Any]:
    """A problem of at most this many layers; more keys of the file where asked for."""
    count = draw(st.integers(1, layers))
    inputs = draw(st.integers(1, min(2, count)))
    made: list[str] = []
    records: list[dict[str, Any]] = []
    # Dense joins and long skips against chains: how far back a layer reads.
    reach = draw(st.sampled_from([1, 2, 3, layers * 2]))
    for index in range(count):
        reads = (
            []
            if index < inputs
            else draw(st.lists(st.sampled_from(made[-reach:]), min_size=1, max_size=4, unique=True))
        )
        record: dict[str, Any] = {
            "name": f"l{index}",
            "inputs": reads,
            "edge_s": draw(SECONDS),
            "cloud_s": draw(SECONDS),
        }
        if draw(st.integers(0, 3)) == 0:
            names = [f"l{index}:{port}" for port in range(draw(st.integers(1, 2)))]
            record["outputs"] = [_tensor(draw, {"name": name, "bytes": draw(BYTES)}, codecs, rules) for name in names]
        else:
            names = [f"l{index}"]
            _tensor(draw, record, codecs, rules)
            record["output_bytes"] = draw(BYTES)
        record["param_bytes"] = draw(BYTES)
        if rules and draw(st.integers(0, 7)) == 0:
            record["pin"] = "edge" if not reads else draw(st.sampled_from(["edge", "cloud"]))
        made.extend(names)
        records.append(record)
    outputs = draw(st.lists(st.sampled_from(made), min_size=1, max_size=3, unique=True))
    document: dict[str, Any] = {"name": "random", "outputs": outputs, "layers": records}
    if measured:
        document["measured"] = _measured(draw, document)
    return document


def _tensor(draw: st.DrawFn, record: dict[str, Any], codecs: bool, rules: bool) -> dict[str, Any]:
    if codecs and draw(st.booleans()):
        record["codecs"] = [
            {"name": f"c{i}", "bytes": draw(BYTES), "encode_s": draw(SECONDS), "decode_s": draw(SECONDS)}
            for i in range(draw(st.integers(1, 3)))
        ]
    if rules and draw(st.integers(0, 5)) == 0:
        record["send"] = False
    return record


def _measured(draw: st.DrawFn, document: dict[str, Any]) -> list[dict[str, Any]]:
    from tests.planning.brute_force import partitions

    known = list(partitions(document))
    chosen = draw(st.lists(st.sampled_from(known), max_size=3, unique=True))
    return [{"edge": sorted(edge), "edge_s": draw(SECONDS), "cloud_s": draw(SECONDS)} for edge in chosen]
