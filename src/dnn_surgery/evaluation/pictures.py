"""Real labelled pictures for experiments: twenty of ImageNet that ship with the package foolbox."""

from __future__ import annotations

import re
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from dnn_surgery.edge.pictures import fit, read_picture
from dnn_surgery.errors import ModelError, SourceError
from dnn_surgery.execution.engine import Array
from dnn_surgery.model.graph import ModelGraph, Picture

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


def picture_of(graph: ModelGraph) -> Picture:
    """What pictures the model takes.

    Raises:
        ModelError: it takes none.
    """
    if graph.picture is None:
        raise ModelError(f"{graph.name} takes no pictures")
    return graph.picture


def fitted_pictures(picture: Picture) -> list[Array]:
    """The labelled pictures as a model takes them. Raises SourceError as :func:`labelled_pictures`."""
    return [fit(read_picture(labelled.path), picture) for labelled in labelled_pictures()]
