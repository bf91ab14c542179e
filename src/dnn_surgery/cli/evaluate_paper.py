"""Redo the paper's experiments: figures 1, 2, 3, 7 and 12 to 18, tables I and II, each number beside the paper's.

Profiles the paper's five networks here (a few minutes, once: profiles are kept in the output folder), then plans them
under three pairs of devices: this machine made slower, this machine scaled to the paper's figure 7, and the devices
that the paper's own bars for Cloud-Only imply. Nothing is run over a link: these are predictions.

With --live it runs instead what every strategy chooses for ResNet-18 and VGG16 on each network of table I: real `serve`
and `run` over a shaped link, beside the simulation of the same frames; with --live-trace over a recorded link.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from dnn_surgery.errors import InputError

if TYPE_CHECKING:
    from rich.console import Console

NETWORKS = ("nin", "tiny_yolov2", "vgg16", "alexnet", "resnet18")

EXAMPLE = "dnn-surgery evaluate paper --edge-slowdown 8 -o build/paper"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The flags of `evaluate paper`."""
    parser.add_argument(
        "--edge-slowdown", type=float, default=8.0, metavar="K", help="of the emulated device (default 8)"
    )
    parser.add_argument("--profiles", metavar="DIR", help="profiles to use, and to keep (default: the output folder)")
    live_help = "run live over a shaped link (default: resnet18 and vgg16); about five minutes each"
    parser.add_argument("--live", nargs="*", metavar="NETWORK", choices=NETWORKS, help=live_help)
    trace_help = "run ResNet-18 live over this recorded link (see evaluate traces), and simulated; about six minutes"
    parser.add_argument("--live-trace", metavar="FILE", type=Path, help=trace_help)
    parser.add_argument("-o", "--output", default="paper", metavar="DIR", help="where to write (default: paper)")


def run(arguments: argparse.Namespace) -> int:
    """Measures what is missing, computes, writes pictures and tables, prints how near ours is."""
    from rich.console import Console

    if not 1 <= arguments.edge_slowdown < float("inf"):
        raise InputError(f"--edge-slowdown must be at least 1, got {arguments.edge_slowdown}")
    folder = Path(arguments.output)
    profiles = folder if arguments.profiles is None else Path(arguments.profiles)
    for made in (folder, profiles):
        try:
            made.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise InputError(f"cannot write to {made}: {error.strerror}") from error
    console = Console(highlight=False)
    if arguments.live is not None or arguments.live_trace is not None:
        _live(arguments, folder, console)
    else:
        _predict(arguments.edge_slowdown, profiles, folder, console)
    console.print(f"pictures and tables are in {folder}")
    return 0


def _predict(edge_slowdown: float, profiles: Path, folder: Path, console: Console) -> None:
    from rich.console import Console

    from dnn_surgery.evaluation.paper.basis import measure_basis
    from dnn_surgery.report.paper import show_paper, write_paper

    with Console(stderr=True).status("starting") as status:
        basis = measure_basis(profiles, status.update)
        setups = (basis.measured(edge_slowdown), basis.calibrated(), basis.implied())
        for path in write_paper(setups, folder):
            status.update(f"written {path}")
    show_paper(folder / "comparison.csv", console)
    for setup in setups:
        console.print(f"{setup.name}: {setup.note}")


def _live(arguments: argparse.Namespace, folder: Path, console: Console) -> None:
    from dnn_surgery.evaluation.paper import live, live_timing, live_trace
    from dnn_surgery.report.paper_live import show_live, write_live

    def report(text: str) -> None:
        print(f"dnn-surgery: {text}", file=sys.stderr, flush=True)

    slowdown = arguments.edge_slowdown
    cuts: list[live_timing.LiveCut] = []
    traces: list[live_trace.OverTrace] = []
    if arguments.live is not None:
        cuts += live.run_live(arguments.live or live.NETWORKS, folder, report, edge_slowdown=slowdown)
    if arguments.live_trace is not None:
        traces += live_trace.run_over_trace("resnet18", arguments.live_trace, folder, report, edge_slowdown=slowdown)
    for path in write_live(cuts, traces, folder):
        report(f"written {path}")
    show_live(cuts, traces, console)
