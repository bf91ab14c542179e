"""The results of benchmarks as a file for machines, and as the page of the documentation that shows them."""

from __future__ import annotations

import datetime
import json
import os
import platform
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path

from benchmarks.figure import Figure

SCHEMA = "dnn-surgery/benchmarks/2"
HOLDS = {True: "yes", False: "**no**", None: ""}

_INTRODUCTION = """\
# Benchmarks

`make bench` runs every benchmark, `python -m benchmarks NAME ...` some; each prints its goals, its figures and whether
they hold, and `build/benchmarks.json` keeps the last run of each. Figures are medians, and ratios of medians taken in
one run wherever that is possible; the spread is the distance between the quartiles. This page is written by
`python -m benchmarks --docs` from that file; nothing in it is typed in. A goal that is missed stays here as missed:
the page that a benchmark belongs to says why.
"""


@dataclass(frozen=True, slots=True)
class Result:
    """One run of one benchmark.

    `title` is the first line of its docstring, `took_s` how long it ran, `measured` the day (UTC), `machine` what it
    ran on.
    """

    title: str
    figures: list[Figure]
    took_s: float
    measured: str
    version: str
    machine: str


def result(title: str, figures: list[Figure], took_s: float) -> Result:
    """A run that has just ended on this machine."""
    machine = f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}"
    today = datetime.datetime.now(tz=datetime.timezone.utc).date().isoformat()
    return Result(title, figures, took_s, today, f"version {version('dnn-surgery')}", machine)


def read_results(path: Path) -> dict[str, Result]:
    """The last run of each benchmark; none where there is no file yet, or one of an older form."""
    if not path.exists():
        return {}
    stored = json.loads(path.read_text(encoding="utf-8"))
    if stored.get("schema") != SCHEMA:
        return {}
    return {
        name: Result(**{**one, "figures": [_figure(figure) for figure in one["figures"]]})
        for name, one in stored["benchmarks"].items()
    }


def keep_result(path: Path, name: str, new: Result) -> None:
    """Puts one run in the place of the last one of the same name; all others stay."""
    results = {**read_results(path), name: new}
    record = {
        "schema": SCHEMA,
        "benchmarks": {
            name: asdict(one) | {"figures": [asdict(figure) | {"holds": figure.holds} for figure in one.figures]}
            for name, one in sorted(results.items())
        },
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")


def page(results: dict[str, Result]) -> str:
    """The page: one table of all goals, then what else was measured, by benchmark."""
    goals = [(name, figure) for name, one in results.items() for figure in one.figures if figure.holds is not None]
    held = sum(figure.holds is True for _, figure in goals)
    lines = [_INTRODUCTION, f"{held} of {len(goals)} goals hold.", ""]
    lines += ["| benchmark | what | figure | spread | goal | holds |", "|---|---|---:|---:|---:|---|"]
    for name, figure in goals:
        lines.append(f"| [{name}](#{name}) | {_cells(figure)} | {figure.goal} | {HOLDS[figure.holds]} |")
    for name, one in results.items():
        lines += ["", f"## {name}", "", f"{one.title.rstrip('.')}.", ""]
        lines += [f"`python -m benchmarks {name}`: {one.took_s:.0f} s on {one.measured}, {one.machine}, {one.version}."]
        if others := [figure for figure in one.figures if figure.holds is None]:
            lines += ["", "| without a goal | figure | spread |", "|---|---:|---:|"]
            lines += [f"| {_cells(figure)} |" for figure in others]
    return "\n".join(lines) + "\n"


def _figure(stored: dict[str, object]) -> Figure:
    return Figure(**{key: value for key, value in stored.items() if key != "holds"})  # type: ignore[arg-type]


def _cells(figure: Figure) -> str:
    spread = "" if figure.spread is None else f"{figure.spread:.3g}"
    name = figure.name.replace("|", "\\|")
    return f"{name} | {figure.text} | {spread}"
