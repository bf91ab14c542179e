"""Redo the paper's experiments: figures 1, 2, 3, 7 and 12 to 18, tables I and II, each number beside the paper's.

Profiles the paper's five networks here (a few minutes, once: profiles are kept in the output folder), then plans them
under three pairs of devices: this machine made slower, this machine scaled to the paper's figure 7, and the devices
that the paper's own bars for Cloud-Only imply. Nothing is run over a link: these are predictions.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from dnn_surgery.errors import InputError

EXAMPLE = "dnn-surgery evaluate paper --edge-slowdown 8 -o build/paper"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The flags of `evaluate paper`."""
    parser.add_argument(
        "--edge-slowdown", type=float, default=8.0, metavar="K", help="of the emulated device (default 8)"
    )
    parser.add_argument("--profiles", metavar="DIR", help="profiles to use, and to keep (default: the output folder)")
    parser.add_argument("-o", "--output", default="paper", metavar="DIR", help="where to write (default: paper)")


def run(arguments: argparse.Namespace) -> int:
    """Measures what is missing, computes, writes pictures and tables, prints how near ours is."""
    from rich.console import Console

    from dnn_surgery.evaluation.paper.basis import measure_basis
    from dnn_surgery.report.paper import show_paper, write_paper

    if not 1 <= arguments.edge_slowdown < float("inf"):
        raise InputError(f"--edge-slowdown must be at least 1, got {arguments.edge_slowdown}")
    folder = Path(arguments.output)
    profiles = folder if arguments.profiles is None else Path(arguments.profiles)
    for made in (folder, profiles):
        try:
            made.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise InputError(f"cannot write to {made}: {error.strerror}") from error
    with Console(stderr=True).status("starting") as status:
        basis = measure_basis(profiles, status.update)
        setups = (basis.measured(arguments.edge_slowdown), basis.calibrated(), basis.implied())
        for path in write_paper(setups, folder):
            status.update(f"written {path}")
    console = Console(highlight=False)
    show_paper(folder / "comparison.csv", console)
    for setup in setups:
        console.print(f"{setup.name}: {setup.note}")
    console.print(f"pictures and tables are in {folder}")
    return 0
