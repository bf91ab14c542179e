"""From a module to a program, by `torch.export`; what cannot be exported is refused in one line that says why."""

from __future__ import annotations

import contextlib
import io
import logging
import re
import sys
import threading
import traceback
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TextIO

import torch
from torch.export import ExportedProgram

from dnn_surgery.errors import ModelError

_ASSIGNED = re.compile(r"The tensor attributes? (.*) (?:was|were) assigned during export")

# What torch says, and what it means to whoever wrote the model.
_REASONS = {
    "data-dependent": "its way depends on values that it computes (an `if`, a loop or int() on a tensor)",
    ".numpy() is not supported": "it leaves PyTorch on the way (.numpy())",
    "assigned during export": "it keeps tensors of a call for the next one",
    "fake tensor in the exported program": "torch.export does not see all that it computes (an autograd.Function?)",
}


def export(
    module: torch.nn.Module,
    arguments: tuple[Any, ...],
    keywords: Mapping[str, Any],
    *,
    name: str,
    dynamic_shapes: Any = None,
) -> ExportedProgram:
    """The program of a module in evaluation mode; the module is left as it was.

    Raises:
        ModelError: it cannot be exported, or keeps tensors of a call for the next one.
    """
    with evaluating(module), torch.no_grad(), quiet():
        program, kept = _export(module, arguments, keywords, name, dynamic_shapes)
        if kept:
            # It may be a constant that is made once and kept: then a real call does so, and the next one no more.
            before = {part: dict(vars(part)) for part in module.modules()}
            module(*arguments, **keywords)
            program, kept = _export(module, arguments, keywords, name, dynamic_shapes)
            if kept:
                for part, attributes in before.items():
                    vars(part).update(attributes)
                raise ModelError(f"{name} keeps tensors of a call for the next one: {kept}")
    return program


def _export(
    module: torch.nn.Module, arguments: tuple[Any, ...], keywords: Mapping[str, Any], name: str, dynamic_shapes: Any
) -> tuple[ExportedProgram, str]:
    """The program, and what the module assigned tensors to meanwhile; torch undoes that, and only warns."""
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        try:
            program = torch.export.export(
                module, arguments, dict(keywords), dynamic_shapes=dynamic_shapes, strict=False
            )
        except Exception as error:  # export runs the user's code
            raise ModelError(f"cannot export {name}: {_reason(error)}{_place(error)}") from error
    found = (_ASSIGNED.search(str(warning.message)) for warning in said)
    kept = [path for match in found if match for path in match[1].split(", ")]
    # A recurrent layer of torch lists its own weights anew on each call.
    return program, ", ".join(path for path in kept if "._flat_weights[" not in path)


def _reason(error: Exception) -> str:
    text = str(error)
    return next((reason for said, reason in _REASONS.items() if said in text), None) or first_line(error)


def _place(error: Exception) -> str:
    """The line of the user's code that did it, where the error tells."""
    torch_folder = Path(torch.__file__).parent
    frames = [
        frame
        for frame in traceback.extract_tb(error.__traceback__)
        if torch_folder not in Path(frame.filename).parents and Path(frame.filename) != Path(__file__)
    ]
    return f" ({Path(frames[-1].filename).name}:{frames[-1].lineno})" if frames else ""


@contextmanager
def evaluating(module: torch.nn.Module) -> Iterator[None]:
    """Puts every submodule into evaluation mode, and back to what it was."""
    modes = {part: part.training for part in module.modules()}
    module.eval()
    try:
        yield
    finally:
        for part, training in modes.items():
            part.training = training


@contextmanager
def quiet() -> Iterator[None]:
    """Keeps what torch warns, logs and prints while it exports from the user: what went wrong is in the error raised.

    Of a model that it refuses torch prints every operator up to there.
    """
    disabled = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    try:
        quiet = (
            contextlib.redirect_stdout(_OtherThreads(sys.stdout)),
            contextlib.redirect_stderr(_OtherThreads(sys.stderr)),
        )
        with warnings.catch_warnings(), quiet[0], quiet[1]:
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(disabled)


class _OtherThreads(io.TextIOBase):
    """A stream without what the thread that made this writes to it: what others have to say goes on."""

    def __init__(self, stream: TextIO) -> None:
        self._stream, self._thread = stream, threading.get_ident()

    def write(self, text: str) -> int:
        """Takes it, and passes it on unless this thread wrote it."""
        if threading.get_ident() != self._thread:
            self._stream.write(text)
        return len(text)

    def flush(self) -> None:
        """As the stream itself."""
        self._stream.flush()


def first_line(error: Exception) -> str:
    """The kind of an error and the first line of what it says."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return f"{type(error).__name__}: {lines[0] if lines else 'no message'}"[:300]
