"""The command `dnn-surgery`: one file a command, one place for errors and exit codes.

A command's module is as commands.py says, and imports what it needs inside `run`, so that `--help` and `plan` never
wait for an engine.
"""

from __future__ import annotations

import argparse
import importlib
import os
import signal
import sys
from collections.abc import Sequence
from importlib.metadata import version
from typing import NoReturn

from dnn_surgery.cli.commands import add_command
from dnn_surgery.errors import SurgeryError

COMMANDS: tuple[str, ...] = ("demo", "run", "serve", "plan", "profile", "export", "report", "link", "evaluate")


def main(argv: Sequence[str] | None = None) -> int:
    """Runs one command; returns its exit code: 0 done, 2 bad input, 3 the other side, 4 infeasible, 130 interrupted."""
    # Its own lines about failed handshakes would stand beside ours; to be set before it is imported.
    os.environ.setdefault("GRPC_VERBOSITY", "NONE")
    try:
        arguments = build_parser().parse_args(argv)
        return int(arguments.run(arguments))
    except SurgeryError as error:
        print(f"dnn-surgery: error: {' '.join(str(error).split())}", file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        return 128 + signal.SIGINT
    except BrokenPipeError:
        # The reader of our output left (`| head`): no reason for a traceback, and nothing more can be written.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 128 + signal.SIGPIPE
    except OSError as error:
        print(f"dnn-surgery: error: {error}", file=sys.stderr)
        return 1


class _Parser(argparse.ArgumentParser):
    """Says in one line what is wrong with the flags."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"dnn-surgery: error: {message}; see {self.prog} --help\n")


def build_parser() -> argparse.ArgumentParser:
    """The parser of all commands."""
    parser = _Parser(
        prog="dnn-surgery",
        description="Run a neural network partly on a device and partly in the cloud, at the best cut for the link.",
    )
    parser.add_argument("--version", action="version", version=f"dnn-surgery {version('dnn-surgery')}")
    subparsers = parser.add_subparsers(metavar="COMMAND", required=True)
    for name in COMMANDS:
        add_command(subparsers, name, importlib.import_module(f"dnn_surgery.cli.{name}"))
    return parser
