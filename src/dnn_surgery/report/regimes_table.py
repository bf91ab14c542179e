"""What `evaluate regimes` prints and writes: what was proved, where splits win and lose, predicted beside live."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.table import Table

from dnn_surgery.errors import InputError
from dnn_surgery.evaluation.regimes.choice import KINDS
from dnn_surgery.evaluation.regimes.live import Live, Seen
from dnn_surgery.evaluation.regimes.search import GOAL, Found, Regime, Way
from dnn_surgery.evaluation.strategies import PAPER_LINKS_BPS
from dnn_surgery.units import format_bandwidth, format_duration, format_size

SCHEMA = "dnn-surgery/regimes/1"

_NAMES = {bps: name for name, bps in PAPER_LINKS_BPS.items()}


def regime_text(regime: Regime) -> str:
    """``3G 1.1 Mbit/s, device 8x slower, 2 cameras``."""
    name = _NAMES.get(regime.bandwidth_bps)
    parts = [f"{name + ' ' if name else ''}{format_bandwidth(regime.bandwidth_bps)}"]
    parts.append(f"device {regime.slowdown:g}x slower")
    if regime.cameras > 1:
        parts.append(f"{regime.cameras} cameras")
    if regime.cloud_load != 1:
        parts.append(f"server {regime.cloud_load:g}x slower")
    if regime.objective == "latency":
        parts.append(f"RTT {format_duration(regime.rtt_s)}")
    return ", ".join(parts)


def cost_text(regime: Regime, seconds: float) -> str:
    """Frames a second of a camera, or seconds from a frame to its answer."""
    return f"{1 / seconds:.3g}/s" if regime.objective == "throughput" else format_duration(seconds)


def summary_table(found: Sequence[Found]) -> Table:
    """Of each kind of regime and each case: how many regimes the split wins, and the best and the worst of them."""
    table = Table(
        title="predicted: where the best split beats every alternative, and by how much",
        title_justify="left",
        caption=f"won: the split is better. {GOAL:g}x: at least so many times. alternating: also than a device that "
        "keeps some frames and uploads others. best and worst: best alternative over best split.",
        caption_justify="left",
    )
    table.add_column("what is asked")
    table.add_column("case")
    for column in ("regimes", "won", f"by {GOAL:g}x", "alternating", "best", "worst"):
        table.add_column(column, justify="right")
    for kind, belongs in KINDS.items():
        for case in dict.fromkeys(one.case for one in found):
            some = [one for one in found if one.case == case and belongs(one.regime)]
            margins = [one.margin for one in some]
            table.add_row(
                kind,
                case,
                str(len(some)),
                _share(sum(m > 1 for m in margins), len(some)),
                _share(sum(m >= GOAL for m in margins), len(some)),
                _share(sum(one.strict_margin >= GOAL for one in some), len(some)),
                f"{max(margins):.2f}x",
                f"{min(margins):.2f}x",
            )
    return table


def live_table(lives: Sequence[tuple[str, Live]]) -> Table:
    """A block a regime: the split and each alternative as predicted and as measured, and who won."""
    table = Table(
        title="live: real serve and run over a shaped link, the device emulated by doing its work so many times over",
        title_justify="left",
        show_lines=True,
    )
    for column, justify in (
        ("regime", "left"),
        ("way", "left"),
        ("predicted", "right"),
        ("live", "right"),
        ("bytes", "right"),
        ("answers kept", "right"),
        ("split wins by", "right"),
    ):
        table.add_column(column, justify=justify)  # type: ignore[arg-type]
    for kind, live in lives:
        regime = live.found.regime
        rows = [
            (
                _title(one, live),
                cost_text(regime, one.predicted_s),
                cost_text(regime, one.measured_s),
                format_size(one.sent_bytes),
                f"{one.agreeing}/{one.frames}",
            )
            for one in live.seen
        ]
        rows += [
            (f"  {way.title}", cost_text(regime, regime.cost_s(way)), "not run", format_size(way.size_bytes), "")
            for way in live.unrun
        ]
        columns = ["\n".join(cells) for cells in zip(*rows, strict=True)]
        head = f"{kind}: {live.found.case}\n{regime_text(regime)}"
        table.add_row(head, *columns, f"{live.found.margin:.2f}x predicted\n{live.margin:.2f}x live")
    return table


def write_regimes(
    folder: Path, ways: Mapping[str, Sequence[Way]], found: Sequence[Found], lives: Sequence[tuple[str, Live]]
) -> Iterator[Path]:
    """Every regime (CSV), the live ones (CSV), and all of it but the grid as JSON.

    Raises:
        InputError: a file cannot be written.
    """
    document = {
        "schema": SCHEMA,
        "ways": {case: [_way(way) for way in some] for case, some in ways.items()},
        "live": [_live(kind, live) for kind, live in lives],
    }
    try:
        yield _write_csv(folder / "regimes.csv", [_found(one) for one in found])
        if lives:
            yield _write_csv(folder / "live.csv", [row for kind, live in lives for row in _live_rows(kind, live)])
        path = folder / "regimes.json"
        path.write_text(json.dumps(document, indent=1), encoding="utf-8")
        yield path
    except OSError as error:
        raise InputError(f"cannot write to {folder}: {error.strerror or error}") from error


def regimes_record(found: Sequence[Found], lives: Sequence[tuple[str, Live]]) -> dict[str, Any]:
    """What ``--json`` prints: of each case and kind the best and the worst regime, and the live ones."""
    best = []
    for kind, belongs in KINDS.items():
        for case in dict.fromkeys(one.case for one in found):
            some = sorted(
                (one for one in found if one.case == case and belongs(one.regime)), key=lambda one: one.margin
            )
            best.append(
                {
                    "kind": kind,
                    "case": case,
                    "regimes": len(some),
                    "won": sum(one.margin > 1 for one in some),
                    "best": _found(some[-1]),
                    "worst": _found(some[0]),
                }
            )
    return {"schema": SCHEMA, "predicted": best, "live": [_live(kind, live) for kind, live in lives]}


def _share(count: int, total: int) -> str:
    return f"{count} ({100 * count / total:.0f} %)"


def _title(seen: Seen, live: Live) -> str:
    best = seen is live.best_alternative or (seen is live.seen[0] and live.margin > 1)
    return f"{'* ' if best else '  '}{seen.way.title}"


def _way(way: Way) -> dict[str, Any]:
    return {
        "kind": way.kind,
        "cut": way.cut,
        "codecs": dict(way.codecs),
        "edge_s": way.edge_s,
        "size_bytes": way.size_bytes,
        "cloud_s": way.cloud_s,
        "proved": way.proved,
    }


def _regime(regime: Regime) -> dict[str, Any]:
    return {name: getattr(regime, name) for name in Regime.__slots__}


def _found(one: Found) -> dict[str, Any]:
    return {
        "case": one.case,
        **_regime(one.regime),
        "split": one.split.title,
        "split_s": one.split_s,
        "split_bytes": one.split.size_bytes,
        "alternative": one.alternative.title,
        "alternative_s": one.alternative_s,
        "alternative_bytes": one.alternative.size_bytes,
        "margin": one.margin,
        "strict_margin": one.strict_margin,
    }


def _seen(one: Seen) -> dict[str, Any]:
    return {name: getattr(one, name) for name in Seen.__slots__ if name != "way"}


def _live(kind: str, live: Live) -> dict[str, Any]:
    ways = [{**_way(one.way), "title": one.way.title, **_seen(one)} for one in live.seen]
    return {"kind": kind, **_found(live.found), "live_margin": live.margin, "ways": ways}


def _live_rows(kind: str, live: Live) -> Iterator[dict[str, Any]]:
    for one in live.seen:
        yield {
            "kind": kind,
            "case": live.found.case,
            **_regime(live.found.regime),
            "way": one.way.title,
            **_seen(one),
            "predicted_margin": live.found.margin,
            "live_margin": live.margin,
        }


def _write_csv(path: Path, rows: Sequence[Mapping[str, Any]]) -> Path:
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, rows[0].keys() if rows else ())
        writer.writeheader()
        writer.writerows(rows)
    return path
