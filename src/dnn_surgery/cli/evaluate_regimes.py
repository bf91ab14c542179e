"""Where does a split pay? Searches regimes by prediction, then runs the best and the worst of them for real.

Each network is profiled here on real frames, codecs included, and every way to send a frame passes the same guard:
what is proved on the frames or loses nothing is admitted, be it a picture or a tensor. Then thousands of regimes are
looked at: bandwidth, round trip, slow-down of an emulated device, load of the server, cameras on one uplink, pictures
that may leave or not. Those in which the best split wins most, and as many in which it loses, are run with real
processes over a shaped link. All that is measured is kept in -o and used again.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Collection, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from dnn_surgery.errors import InputError

if TYPE_CHECKING:
    from dnn_surgery.evaluation.regimes.choice import Chosen
    from dnn_surgery.evaluation.regimes.live import Live
    from dnn_surgery.evaluation.regimes.search import Found
    from dnn_surgery.evaluation.regimes.ways import Prepared

EXAMPLE = "dnn-surgery evaluate regimes --case lite0-films -o build/regimes"

WIDTH = 170


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The flags of `evaluate regimes`."""
    parser.add_argument("--case", action="append", metavar="NAME", help="only this one; may be repeated (default: all)")
    parser.add_argument(
        "--frames", type=int, default=200, metavar="N", help="of each case, to prove accuracy on (default 200)"
    )
    parser.add_argument(
        "--live", type=int, default=1, metavar="N", help="winners of each kind to run, and as many losers (default 1)"
    )
    parser.add_argument(
        "--kind",
        action="append",
        metavar="KIND",
        help="run only regimes of this kind, such as 'several cameras'; may be repeated (default: all)",
    )
    parser.add_argument("--list", action="store_true", help="print the cases and what they are, nothing else")
    parser.add_argument("--json", action="store_true", help="print the outcome as JSON instead of tables")
    parser.add_argument("-o", "--output", default="regimes", metavar="DIR", help="where to write (default: regimes)")


def run(arguments: argparse.Namespace) -> int:
    """Measures what is missing, searches, runs, prints, writes."""
    from rich.console import Console

    from dnn_surgery.evaluation.regimes.cases import CASES
    from dnn_surgery.evaluation.regimes.choice import KINDS, choose
    from dnn_surgery.evaluation.regimes.search import grid, search
    from dnn_surgery.evaluation.regimes.ways import prepare
    from dnn_surgery.report.regimes_table import live_table, regimes_record, summary_table, write_regimes

    if arguments.frames < 1 or arguments.live < 0:
        raise InputError("--frames must be at least 1 and --live at least 0")
    by_name = {case.name: case for case in CASES}
    cases = [by_name[name] for name in _known("case", arguments.case, by_name)]
    kinds = _known("kind", arguments.kind, KINDS)
    if arguments.list:
        for case in cases:
            print(f"{case.name}: {case.note}")
        return 0
    folder = _folder(arguments.output)
    with Console(stderr=True).status("starting") as status:
        prepared = [prepare(case, folder, frames=arguments.frames, report=status.update) for case in cases]
        ways = {one.case.name: one.ways for one in prepared}
        found = [one for case, some in ways.items() for one in search(case, some, list(grid()))]
        chosen = choose(found, ways, each=arguments.live, kinds=kinds)
        lives = _run_live(prepared, chosen, folder, status.update)
        written = [*write_regimes(folder, ways, found, lives), _draw(folder, found, lives)]
    if arguments.json:
        print(json.dumps(regimes_record(found, lives), indent=1))
        return 0
    # A pipe has no width; see `evaluate traces`.
    console = Console(width=None if sys.stdout.isatty() else WIDTH, highlight=False)
    console.print(summary_table(found))
    if lives:
        console.print(live_table(lives))
    console.print(f"written to {', '.join(str(path) for path in written)}")
    return 0


def _known(what: str, given: Sequence[str] | None, known: Collection[str]) -> list[str]:
    """The names that were given, or all that there are."""
    from dnn_surgery.model.graph import near

    for name in given or ():
        if name not in known:
            raise InputError(f"no {what} {name!r}{near(name, known)}: {'; '.join(known)}")
    return list(given or known)


def _folder(name: str) -> Path:
    folder = Path(name)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"cannot write to {folder}: {error.strerror}") from error
    return folder


def _run_live(
    prepared: Sequence[Prepared], chosen: Sequence[Chosen], folder: Path, report: Callable[[str], None]
) -> list[tuple[str, Live]]:
    """In the order in which they were chosen; one server a network."""
    from dnn_surgery.evaluation.regimes.live import LiveRuns

    seen: dict[int, tuple[str, Live]] = {}
    for one in prepared:
        mine = [(place, this) for place, this in enumerate(chosen) if this.found.case == one.case.name]
        if not mine:
            continue
        with LiveRuns(one, folder, report) as runs:
            for place, this in mine:
                seen[place] = this.kind, runs.run(this.found, this.rivals, this.unrun)
    return [seen[place] for place in sorted(seen)]


def _draw(folder: Path, found: Sequence[Found], lives: Sequence[tuple[str, Live]]) -> Path:
    from dnn_surgery.report.figures.canvas import write
    from dnn_surgery.report.figures.regime_margins import margins_figure

    return write(margins_figure(found, lives), folder / "regimes.png")
