"""Runs benchmarks, prints a table of each and keeps it in build/benchmarks.json."""

from __future__ import annotations

import argparse
import importlib
import pkgutil
import sys
import time
from pathlib import Path
from types import ModuleType

from rich.console import Console
from rich.table import Table

import benchmarks
from benchmarks.results import Result, keep_result, page, read_results, result

RESULTS = Path("build/benchmarks.json")
PAGE = Path("docs/benchmarks.md")


def main() -> int:
    """Returns 0 also where a goal is missed: a figure on a shared machine is read by people, not by CI."""
    known = find()
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=benchmarks.__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"which (default: all): {', '.join(known)}")
    parser.add_argument("--docs", action="store_true", help=f"write {PAGE} from {RESULTS}; without names run nothing")
    arguments = parser.parse_args()
    if unknown := [name for name in arguments.names if name not in known]:
        parser.error(f"no benchmark {unknown[0]!r}; there is {', '.join(known)}")
    console = Console()
    for name in arguments.names or ([] if arguments.docs else known):
        title = (known[name].__doc__ or "").splitlines()[0]
        started = time.monotonic()
        with Console(stderr=True).status(f"{name}: {title}"):
            figures = known[name].run()
        ended = result(title, figures, time.monotonic() - started)
        console.print(table_of(name, ended))
        # At once: a benchmark that fails takes nothing from those before it.
        keep_result(RESULTS, name, ended)
        console.print(f"kept in {RESULTS}")
    if arguments.docs:
        PAGE.write_text(page(read_results(RESULTS)), encoding="utf-8")
        console.print(f"written to {PAGE}")
    return 0


def find() -> dict[str, ModuleType]:
    """Benchmarks by name: the modules of this package that can be run."""
    modules = (
        importlib.import_module(f"benchmarks.{found.name}")
        for found in pkgutil.iter_modules(benchmarks.__path__)
        if found.name != "__main__"
    )
    return {module.__name__.rpartition(".")[2]: module for module in modules if hasattr(module, "run")}


def table_of(name: str, ended: Result) -> Table:
    """A table for people."""
    table = Table(title=f"{name}: {ended.title}", title_justify="left")
    table.add_column("what")
    for column in ("figure", "spread", "goal", "holds"):
        table.add_column(column, justify="right")
    for figure in ended.figures:
        holds = {True: "yes", False: "[red]no[/red]", None: ""}[figure.holds]
        spread = "" if figure.spread is None else f"{figure.spread:.3g}"
        table.add_row(figure.name, figure.text, spread, figure.goal, holds)
    return table


if __name__ == "__main__":
    sys.exit(main())
