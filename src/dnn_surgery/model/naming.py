"""Names that people recognise and that are the same in every process: the module's path, as in ``features.3``."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class NameSource:
    """What a layer's name is made from: the path of the module that ran its main operator, and that operator.

    `fixed` is a name that a caller asked for; the model's inputs have one too.
    """

    path: str
    operator: str
    fixed: str | None = None


def layer_names(sources: Sequence[NameSource], module_paths: Sequence[str]) -> list[str]:
    """One name a layer, all different, in topological order.

    A module without submodules that ran one layer lends it its path; else the operator is appended
    (``blocks.0.add``), and a number where that is not enough (``blocks.0.add_1``). `module_paths` are the paths of all
    modules that ran an operator.
    """
    parents = {path.rpartition(".")[0] for path in module_paths if "." in path}
    parents |= {parent for path in list(parents) for parent in _prefixes(path)}
    ran = Counter(source.path for source in sources if source.fixed is None)
    taken = {source.fixed for source in sources if source.fixed is not None}
    names = []
    for source in sources:
        if source.fixed is not None:
            names.append(source.fixed)
            continue
        alone = source.path and source.path not in parents and ran[source.path] == 1
        wanted = source.path if alone else ".".join(filter(None, (source.path, source.operator)))
        names.append(take_name(wanted, taken))
    return names


def take_name(wanted: str, taken: set[str]) -> str:
    """The name, with a number behind it where it is taken; takes it."""
    name, number = wanted, 0
    while name in taken:
        number += 1
        name = f"{wanted}_{number}"
    taken.add(name)
    return name


def _prefixes(path: str) -> list[str]:
    parts = path.split(".")
    return [".".join(parts[:length]) for length in range(1, len(parts))]
