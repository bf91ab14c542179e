"""A module as a command: its docstring is the help, its first line the summary.

The module has `EXAMPLE`, `add_arguments(parser)` and `run(arguments) -> int`; one of commands within has no `run`.
"""

from __future__ import annotations

import argparse
from types import ModuleType
from typing import Any


def add_command(subparsers: argparse._SubParsersAction[Any], name: str, module: ModuleType) -> None:
    """Adds the module as the command `name`; the arguments then carry its `run`."""
    text = module.__doc__ or ""
    command = subparsers.add_parser(
        name,
        help=text.splitlines()[0],
        description=text,
        epilog=f"example:\n  {module.EXAMPLE}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    module.add_arguments(command)
    if hasattr(module, "run"):
        command.set_defaults(run=module.run)
