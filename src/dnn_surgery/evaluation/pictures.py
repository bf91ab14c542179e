"""Real labelled pictures for experiments: twenty of ImageNet that ship with the package foolbox."""

from __future__ import annotations

import re
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from dnn_surgery.errors import SourceError

_NAME = re.compile(r"imagenet_\d+_(\d+)\.jpg")


@dataclass(frozen=True, slots=True)
class LabelledPicture:
    """A picture file and the number of its ImageNet class."""

    path: Path
    class_index: int


def labelled_pictures() -> tuple[LabelledPicture, ...]:
    """The pictures, in the order of their names.

    Raises:
        SourceError: the package is not installed.
    """
    package = find_spec("foolbox")
    folder = Path(package.origin).parent / "data" if package is not None and package.origin else None
    paths = sorted(folder.glob("imagenet_*.jpg")) if folder else []
    found = [(path, match) for path in paths if (match := _NAME.fullmatch(path.name))]
    if not found:
        raise SourceError("the demo's pictures are missing: pip install dnn-surgery[demo]")
    return tuple(LabelledPicture(path, int(match.group(1))) for path, match in found)
