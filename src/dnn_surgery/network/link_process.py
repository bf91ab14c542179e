"""The process of a shaped link: it does nothing else, so nothing else keeps it from being on time.

Reads one command a line, as JSON, from its input, and answers each with one line: a result or an error. It ends when
its input does, which is also what happens when the process that started it dies.
"""

from __future__ import annotations

import dataclasses
import json
import os
import sys
from typing import Any

from dnn_surgery import errors
from dnn_surgery.network.link_thread import LinkThread


def main() -> None:
    """The first line opens the link and holds what `LinkThread` takes; the others name what to do with it."""
    try:
        _serve()
    except BrokenPipeError:
        # Whoever asked is gone; without this, Python would complain that it cannot write out what is left.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _serve() -> None:
    first = sys.stdin.readline()
    if not first:
        return
    try:
        with LinkThread(**json.loads(first)) as link:
            _answer({"address": link.address})
            for line in sys.stdin:
                _answer(_obey(link, json.loads(line)))
    except errors.SurgeryError as error:
        _answer(_failure(error))


def _obey(link: LinkThread, command: dict[str, Any]) -> dict[str, Any]:
    name = command.pop("command")
    if name == "state":
        return dataclasses.asdict(link.state())
    acts = {
        "set_rate": link.set_rate,
        "cut": link.cut,
        "restore": link.restore,
        "stall": link.stall,
        "resume": link.resume,
    }
    try:
        acts[name](**command)
    except errors.SurgeryError as error:
        return _failure(error)
    return {}


def _failure(error: errors.SurgeryError) -> dict[str, Any]:
    return {"error": type(error).__name__, "message": str(error)}


def _answer(answer: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(answer) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
