"""The networks that come with the project: those of the DADS paper, and one with real weights for the demo.

One file a network; a file is imported (and torch with it) when its network is asked for.
"""

from __future__ import annotations

import importlib
import re

from dnn_surgery.errors import ModelError
from dnn_surgery.model.graph import near
from dnn_surgery.model.zoo.entry import ZooEntry

NAMES = ("vgg16", "alexnet", "nin", "tiny_yolov2", "resnet18", "efficientnet_lite0")

__all__ = ["NAMES", "ZooEntry", "canonical_name", "entry"]


def canonical_name(name: str) -> str:
    """The zoo's spelling of a name: case, hyphens, underscores, dots and blanks do not matter.

    Raises:
        ModelError: no network of that name; near matches or all names are listed.
    """
    spellings = {_bare(known): known for known in NAMES}
    found = spellings.get(_bare(name))
    if found is None:
        hint = near(_bare(name), spellings)
        for bare, known in spellings.items():
            hint = hint.replace(repr(bare), repr(known))
        raise ModelError(f"no model {name!r} in the zoo{hint or '; it has ' + ', '.join(NAMES)}")
    return found


def entry(name: str) -> ZooEntry:
    """What the zoo says of a network. Imports torch.

    Raises:
        ModelError: no network of that name.
    """
    found: ZooEntry = importlib.import_module(f"dnn_surgery.model.zoo.{canonical_name(name)}").ENTRY
    return found


def _bare(name: str) -> str:
    return re.sub(r"[-_.\s]", "", name).lower()
