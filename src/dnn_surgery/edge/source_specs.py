"""What sources there are, as told: one by one, or as a list in a file.

A ``.streams`` file has one source a line, ``#`` begins a remark, and relative paths are relative to the file:

    rtsp://camera1/sub    name=gate rate=5 priority=2
    rtsp://camera2/sub    rate=1
    archive/*.jpg
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from dnn_surgery.edge.live_video import is_live, without_password
from dnn_surgery.edge.pictures import Pixels
from dnn_surgery.errors import InputError, SourceError

LIST_SUFFIX = ".streams"
_OPTIONS = ("name", "rate", "priority")


@dataclass(frozen=True, slots=True)
class SourceSpec:
    """One source: its name in results, what :func:`~dnn_surgery.edge.sources.open_source` takes or a camera's number or
    a stream's URL, frames a second (None: all there are), and its priority among several (higher first).
    """

    name: str
    url: str | Path | Iterable[Pixels]
    rate_hz: float | None = None
    priority: int = 0


def read_sources(texts: Sequence[str]) -> list[SourceSpec]:
    """The sources that the texts name, each a camera's number, URL, picture, folder, glob, video or ``.streams`` file.

    Each is called as it is written, without a password, or as its list says; those of one name are numbered.

    Raises:
        SourceError: a list cannot be read; the message names file and line.
    """
    specs: list[SourceSpec] = []
    for text in texts:
        if text.lower().endswith(LIST_SUFFIX) and not is_live(text):
            specs += _read_list(Path(text).expanduser())
        else:
            specs.append(SourceSpec(without_password(text), text))
    return list(_named_apart(specs))


def check_specs(specs: Sequence[SourceSpec]) -> None:
    """Compares with what a source may be.

    Raises:
        InputError: there are none, two have one name, or a rate or priority makes no sense.
    """
    if not specs:
        raise InputError("no sources are given")
    names = [spec.name for spec in specs]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise InputError(f"two sources are called {twice[0]}")
    for spec in specs:
        if spec.rate_hz is not None and not 0 < spec.rate_hz < math.inf:
            raise InputError(f"the rate of source {spec.name} must be positive, got {spec.rate_hz:g}")
        if spec.priority < 0:
            raise InputError(f"the priority of source {spec.name} must be 0 or higher, got {spec.priority}")


def _read_list(path: Path) -> list[SourceSpec]:
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except OSError as error:
        raise SourceError(f"{path}: cannot read this list of sources: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise SourceError(f"{path}: no list of sources: it is not text") from error
    specs = [
        _read_line(line.strip(), path, f"{path}:{number}")
        for number, line in enumerate(lines, 1)
        if line.strip() and not line.strip().startswith("#")
    ]
    if not specs:
        raise SourceError(f"{path}: the list names no sources")
    return specs


def _read_line(line: str, path: Path, where: str) -> SourceSpec:
    words = line.split(" #", maxsplit=1)[0].split()
    options: dict[str, str] = {}
    while len(words) > 1 and words[-1].partition("=")[0] in _OPTIONS and "=" in words[-1]:
        key, _, value = words.pop().partition("=")
        options[key] = value
    url = " ".join(words)
    name = options.get("name") or without_password(url)
    if not is_live(url):
        url = str(path.parent / Path(url).expanduser())
    return SourceSpec(name, url, _rate(options.get("rate"), where), _priority(options.get("priority"), where))


def _rate(text: str | None, where: str) -> float | None:
    if text is None:
        return None
    try:
        rate_hz = float(text)
    except ValueError:
        rate_hz = math.nan
    if not 0 < rate_hz < math.inf:
        raise SourceError(f"{where}: rate must be a positive number of frames a second, got {text!r}")
    return rate_hz


def _priority(text: str | None, where: str) -> int:
    if text is None:
        return 0
    if not (text.isascii() and text.isdigit() and len(text) < 10):
        raise SourceError(f"{where}: priority must be a whole number from 0 on, got {text!r}")
    return int(text)


def _named_apart(specs: Sequence[SourceSpec]) -> Iterator[SourceSpec]:
    seen: set[str] = set()
    for spec in specs:
        name = next(name for name in _names(spec.name) if name not in seen)
        seen.add(name)
        yield replace(spec, name=name)


def _names(name: str) -> Iterator[str]:
    yield name
    for number in itertools.count(2):
        yield f"{name} ({number})"
