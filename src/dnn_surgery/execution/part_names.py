"""Names of heads and tails for the world outside: files, and models on servers of other makes.

A tail is what it takes and what it makes; both sides derive its name from that, so nobody has to look it up.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Collection, Iterable

from dnn_surgery.execution.split import cut_tensors
from dnn_surgery.model.graph import ModelGraph

# Servers make folders, and monitors make labels of these names; longer ones serve nobody.
_LONGEST = 80


def cut_label(graph: ModelGraph, edge: Iterable[str]) -> str:
    """A cut's name that is fit for a file: the tensor that is sent, as far as it can be written."""
    tensors = cut_tensors(graph, edge)
    return _label(graph, tensors.sent, tensors.remaining)


def tail_name(graph: ModelGraph, sent: Collection[str], wanted: Collection[str]) -> str:
    """What a server calls the tail that makes `wanted` from `sent`: ``model__cut``, or ``model`` for all of it."""
    name = _plain(graph.name) or "model"
    if set(sent) == set(graph.inputs) and set(wanted) == set(graph.outputs):
        return name
    return f"{name}__{_label(graph, sent, wanted)}"


def _label(graph: ModelGraph, sent: Collection[str], wanted: Collection[str]) -> str:
    """Names of the tensors sent; a digest follows where those alone do not say it all, or cannot be written."""
    names = [name for name in graph.tensors if name in set(sent)]
    results = [name for name in graph.outputs if name in set(wanted)]
    text = "+".join(names)
    plain = _plain(text)[:_LONGEST]
    if plain == text and len(results) == len(graph.outputs):
        return plain
    digest = hashlib.sha256(json.dumps([names, results]).encode()).hexdigest()[:8]
    return f"{plain}-{digest}" if plain else digest


def _plain(text: str) -> str:
    return re.sub(r"[^A-Za-z0-9._-]+", "_", text).strip("._-")
