"""Judge plans and policies: `traces` over recorded links, `paper` redoes the paper's figures and tables.

`fleet` has many devices share a server. All say what they are: `traces` and `fleet` simulate, to the last digit the
same each time; `paper` predicts from profiles, or runs for real with --live; `regimes` predicts, then runs what it
found.
"""

from __future__ import annotations

import argparse
import importlib

from dnn_surgery.cli.commands import add_command

EXAMPLE = "dnn-surgery evaluate traces --trace my.csv --algorithm my_module:plan -o build/traces"

EXPERIMENTS = ("traces", "fleet", "paper", "regimes")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """One experiment a module of its own, ``evaluate_NAME``."""
    experiments = parser.add_subparsers(dest="experiment", metavar="EXPERIMENT", required=True)
    for name in EXPERIMENTS:
        add_command(experiments, name, importlib.import_module(f"dnn_surgery.cli.evaluate_{name}"))
