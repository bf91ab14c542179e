"""Random problems from a seed: quicker than drawing each number, for the tests that need thousands of graphs."""

from __future__ import annotations

import random
from typing import Any

from tests.planning.brute_force import partitions, rows


def seconds(dice: random.Random) -> float:
    """Small whole numbers make ties and zeros; the powers spread costs over nine orders of magnitude."""
    return float(dice.randint(0, 4)) if dice.random() < 0.5 else dice.randint(0, 999) * 10.0 ** dice.randint(-9, -1)


def size_bytes(dice: random.Random) -> float:
    return float(dice.randint(0, 4)) if dice.random() < 0.5 else dice.randint(0, 99) * 10.0 ** dice.randint(0, 7)


def whole(dice: random.Random) -> float:
    """Sums of these are exact, so ties are ties whatever the order of the sum."""
    return float(dice.randint(0, 3))


def random_problem(
    seed: int,
    *,
    layers: int = 8,
    codecs: bool = True,
    rules: bool = True,
    measured: bool = True,
    forbidden: bool = False,
    exact: bool = False,
) -> dict[str, Any]:
    """A problem file of at most `layers` layers; `exact` draws whole numbers only."""
    dice = random.Random(seed)
    draw_s, draw_bytes = (whole, whole) if exact else (seconds, size_bytes)
    codecs, rules = codecs and dice.random() < 0.6, rules and dice.random() < 0.5
    count = dice.randint(1, layers)
    inputs = dice.randint(1, min(2, count))
    reach = dice.choice([1, 2, 3, 3 * layers])
    width = dice.choice([1, 2, 4])
    made: list[str] = []
    records: list[dict[str, Any]] = []

    def tensor(record: dict[str, Any]) -> dict[str, Any]:
        if codecs and dice.random() < 0.5:
            ways = range(dice.randint(1, 3))
            costs = [(draw_bytes(dice), draw_s(dice), draw_s(dice)) for _ in ways]
            record["codecs"] = [
                {"name": f"c{i}", "bytes": b, "encode_s": e, "decode_s": d} for i, (b, e, d) in enumerate(costs)
            ]
        if rules and dice.random() < 0.15:
            record["send"] = False
        return record

    for index in range(count):
        near = made[-reach:]
        reads = [] if index < inputs else dice.sample(near, dice.randint(1, min(width, len(near))))
        record: dict[str, Any] = {"name": f"l{index}", "inputs": reads}
        record |= {"edge_s": draw_s(dice), "cloud_s": draw_s(dice), "param_bytes": draw_bytes(dice)}
        if dice.random() < 0.25:
            names = [f"l{index}:{port}" for port in range(dice.randint(1, 2))]
            record["outputs"] = [tensor({"name": name, "bytes": draw_bytes(dice)}) for name in names]
        else:
            names = [f"l{index}"]
            record = tensor({**record, "output_bytes": draw_bytes(dice)})
        if rules and dice.random() < 0.12:
            record["pin"] = dice.choice(["edge", "cloud"]) if reads else "edge"
        made += names
        records.append(record)
    document: dict[str, Any] = {"name": f"seed {seed}", "layers": records}
    document["outputs"] = dice.sample(made, dice.randint(1, min(3, len(made))))
    if measured and dice.random() < 0.3:
        known = sorted(partitions(document), key=sorted)
        chosen = dice.sample(known, min(len(known), dice.randint(1, 3)))
        document["measured"] = [
            {"edge": sorted(edge), "edge_s": draw_s(dice), "cloud_s": draw_s(dice)} for edge in chosen
        ]
    if forbidden and dice.random() < 0.3:
        document["forbidden"] = bans(dice, document)
    return document


def bans(dice: random.Random, document: dict[str, Any]) -> list[dict[str, Any]]:
    """The fastest plans of a random link, which a frontier would hold, and others."""
    bandwidth = dice.choice([8.0, 1e3, 1e6])
    known = sorted(rows(document), key=lambda row: (row.latency_s(bandwidth), sorted(row.edge), row.sent))
    chosen = [*known[: dice.randint(1, 4)], *dice.sample(known, min(len(known), 2))]
    return [{"edge": sorted(row.edge), "codecs": dict(row.sent)} for row in chosen]
