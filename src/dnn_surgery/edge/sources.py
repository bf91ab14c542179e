"""Where frames come from: a picture, a folder, a glob, a video file, or any iterable of arrays.

    with open_source("holiday/*.jpg") as source:
        for frame in source:
            picture = fit(frame.pixels, graph.picture)

Frames are read one by one, when they are asked for.
"""

from __future__ import annotations

import glob
from collections.abc import Callable, Iterable, Iterator, Sequence, Sized
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from dnn_surgery.edge.pictures import SUFFIXES, Pixels, check_pixels, fit, read_picture
from dnn_surgery.edge.video import open_video
from dnn_surgery.errors import SourceError

__all__ = ["Frame", "Pixels", "Source", "fit", "open_source"]


@dataclass(frozen=True, slots=True)
class Frame:
    """One picture of a source: its place from 0 on, where it is from, and uint8 [H, W, 3], RGB, as read.

    `name` is the file's path; of a video, ``path#index``; of an iterable, ``frame#index``.
    """

    index: int
    name: str
    pixels: Pixels


@dataclass(frozen=True, slots=True)
class Source:
    """An open source: iterate over it once. `length` is the number of frames, where that is known.

    A video's length is what its file says, which damage or an edit list may make untrue: for progress, not for more.

    Raises:
        SourceError: while iterating, when a frame cannot be read; the message names the file.
    """

    name: str
    frames: Iterator[Frame]
    length: int | None

    def __iter__(self) -> Iterator[Frame]:
        return self.frames

    def __length_hint__(self) -> int:
        return NotImplemented if self.length is None else self.length


@contextmanager
def open_source(
    source: str | Path | Iterable[Pixels], *, on_error: Callable[[SourceError], None] | None = None
) -> Iterator[Source]:
    """Opens what the text names, or an iterable of uint8 [H, W, 3] arrays, and closes it when the context ends.

    A folder gives its pictures in the order of their names (hidden files are none), a glob (``**`` goes into folders)
    all files that match. With `on_error` a picture among several that cannot be read is told to it and left out.

    Raises:
        SourceError: there is nothing, or nothing readable, of that name.
    """
    if not isinstance(source, (str, Path)):
        length = len(source) if isinstance(source, Sized) else None
        yield Source("iterable", _name_frames(source, "frame#{}"), length)
        return
    if source == "":
        raise SourceError("the name of the source is empty")  # Path("") would be the working folder
    path = Path(source).expanduser()
    if path.is_file() and path.suffix.lower() not in SUFFIXES:
        with open_video(path) as video:
            yield Source(str(source), _name_frames(video.frames, f"{_escaped(path)}#{{}}"), video.length)
        return
    paths = _find_pictures(path, str(source))
    yield Source(str(source), _read_pictures(paths, on_error if len(paths) > 1 else None), len(paths))


def _find_pictures(path: Path, text: str) -> Sequence[Path]:
    if path.is_file():
        return [path]
    if path.is_dir():
        paths = sorted(file for file in path.iterdir() if _is_picture_file(file))
        if not paths:
            raise SourceError(f"{text}: the folder holds no pictures ({', '.join(sorted(SUFFIXES))})")
        return paths
    if glob.has_magic(text):
        matches = glob.iglob(str(path), recursive=True)  # noqa: PTH207 - Path.glob takes no pattern that begins with /
        paths = sorted(file for file in map(Path, matches) if file.is_file())
        if not paths:
            raise SourceError(f"{text}: no file matches")
        return paths
    if "://" in text or text.isdigit():
        raise SourceError(f"{text}: cameras and streams go on for ever and are read by an Intake, not as a file")
    raise SourceError(f"{text}: no such file or folder")


def _is_picture_file(path: Path) -> bool:
    return not path.name.startswith(".") and path.suffix.lower() in SUFFIXES and path.is_file()


def _read_pictures(paths: Sequence[Path], on_error: Callable[[SourceError], None] | None) -> Iterator[Frame]:
    index = 0
    for path in paths:
        try:
            pixels = read_picture(path)
        except SourceError as error:
            if on_error is None:
                raise
            on_error(error)
        else:
            yield Frame(index, str(path), pixels)
            index += 1


def _name_frames(arrays: Iterable[Pixels], pattern: str) -> Iterator[Frame]:
    for index, pixels in enumerate(arrays):
        name = pattern.format(index)
        check_pixels(pixels, name)
        yield Frame(index, name, pixels)


def _escaped(path: Path) -> str:
    return str(path).replace("{", "{{").replace("}", "}}")
