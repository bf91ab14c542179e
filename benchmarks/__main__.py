"""Runs benchmarks, prints a table and writes build/benchmarks.json."""

from __future__ import annotations

import argparse
import importlib
import json
import pkgutil
import platform
import sys
from dataclasses import asdict
from pathlib import Path
from types import ModuleType

from rich.console import Console
from rich.table import Table

import benchmarks
from benchmarks.figure import Figure

RESULTS = Path("build/benchmarks.json")


def main() -> int:
    """Returns 0 also where a goal is missed: a figure on a shared machine is read by people, not by CI."""
    known = find()
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=benchmarks.__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"which (default: all): {', '.join(known)}")
    arguments = parser.parse_args()
    if unknown := [name for name in arguments.names if name not in known]:
        parser.error(f"no benchmark {unknown[0]!r}; there is {', '.join(known)}")
    console, measured = Console(), {}
    for name in arguments.names or known:
        title = (known[name].__doc__ or "").splitlines()[0]
        with Console(stderr=True).status(f"{name}: {title}"):
            measured[name] = known[name].run()
        console.print(table_of(f"{name}: {title}", measured[name]))
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text(json.dumps(record_of(measured), indent=1) + "\n", encoding="utf-8")
    console.print(f"written to {RESULTS}")
    return 0


def find() -> dict[str, ModuleType]:
    """Benchmarks by name: the modules of this package that can be run."""
    modules = (
        importlib.import_module(f"benchmarks.{found.name}")
        for found in pkgutil.iter_modules(benchmarks.__path__)
        if found.name != "__main__"
    )
    return {module.__name__.rpartition(".")[2]: module for module in modules if hasattr(module, "run")}


def table_of(title: str, figures: list[Figure]) -> Table:
    """A table for people."""
    table = Table(title=title, title_justify="left")
    table.add_column("what")
    for column in ("figure", "spread", "goal", "holds"):
        table.add_column(column, justify="right")
    for figure in figures:
        holds = {True: "yes", False: "[red]no[/red]", None: ""}[figure.holds]
        spread = "" if figure.spread is None else f"{figure.spread:.3g}"
        table.add_row(figure.name, f"{figure.value:.4g} {figure.unit}", spread, figure.goal, holds)
    return table


def record_of(measured: dict[str, list[Figure]]) -> dict[str, object]:
    """The figures for machines."""
    return {
        "schema": "dnn-surgery/benchmarks/1",
        "machine": {"processor": platform.processor() or platform.machine(), "python": platform.python_version()},
        "benchmarks": {
            name: [asdict(figure) | {"holds": figure.holds} for figure in figures] for name, figures in measured.items()
        },
    }


if __name__ == "__main__":
    sys.exit(main())
