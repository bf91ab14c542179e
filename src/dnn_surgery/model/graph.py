"""What is cut: a network as a graph of layers and the named tensors between them.

Plain data; nothing here knows an engine. How a graph is made from a PyTorch module: :mod:`dnn_surgery.model.tracing`.
"""

from __future__ import annotations

import difflib
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Protocol

from dnn_surgery.errors import ModelError, TensorError
from dnn_surgery.model.fingerprint import fingerprint
from dnn_surgery.model.postprocess import Postprocess


@dataclass(frozen=True, slots=True)
class Tensor:
    """A named tensor.

    `shape` has None where a size varies (a dynamic batch); `dtype` is numpy's name, or ``bfloat16``, which arrays hold
    as uint16. `size_bytes` is the size of the traced example, batch included.
    """

    name: str
    dtype: str
    shape: tuple[int | None, ...]
    size_bytes: int


@dataclass(frozen=True, slots=True)
class Layer:
    """The smallest unit that is placed: a group of operators, such as conv + batch norm + relu.

    `inputs` and `outputs` are tensor names. `operators` name the operators with their literal arguments, in order.
    `parameters` are the names of the weights it reads; a weight that two layers share counts in the `param_bytes` of
    each.
    """

    name: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    operators: tuple[str, ...] = ()
    parameters: tuple[str, ...] = ()
    param_bytes: int = 0


@dataclass(frozen=True, slots=True)
class Picture:
    """How a frame becomes the network's uint8 input of shape [N, height, width, 3], RGB.

    `fit`: ``crop`` scales the short side to `height / crop_fraction` and crops the centre; ``stretch`` ignores the
    ratio; ``letterbox`` scales until the whole frame is inside and fills the rest, half on each side, with grey (114).
    """

    tensor: str
    height: int
    width: int
    fit: str = "crop"
    crop_fraction: float = 0.875


class Program(Protocol):
    """What an engine needs to run the graph. `kind` names the front end that made it, such as ``torch``."""

    @property
    def kind(self) -> str:
        """The front end's name."""

    def operators_digest(self) -> bytes:
        """SHA-256 over every operator that plays a part, its literal arguments and what it reads."""

    def parameter_digest(self, name: str) -> bytes:
        """SHA-256 over dtype, shape and bytes of one weight."""


@dataclass(frozen=True, eq=False)
class ModelGraph:
    """A model: layers in topological order (the inputs' layers first), tensors by name, the program that computes them.

    `inputs` and `outputs` are tensor names. `labels` name the classes, where the model has them. `notices` are
    sentences that whoever loads the model should be told, such as that its weights are not trained. `postprocess` says
    what the outputs mean, where somebody said it.
    """

    name: str
    layers: tuple[Layer, ...]
    tensors: Mapping[str, Tensor]
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    program: Program
    picture: Picture | None = None
    labels: tuple[str, ...] | None = field(default=None, repr=False)
    notices: tuple[str, ...] = ()
    postprocess: Postprocess | None = None

    @cached_property
    def fingerprint(self) -> str:
        """Hex SHA-256 over layers, tensors and weights: equal on both sides or nothing is answered."""
        return fingerprint(self)

    @cached_property
    def layer(self) -> Mapping[str, Layer]:
        """Layers by name."""
        return {layer.name: layer for layer in self.layers}

    @cached_property
    def producer(self) -> Mapping[str, Layer]:
        """The layer that makes each tensor."""
        return {tensor: layer for layer in self.layers for tensor in layer.outputs}

    def edge_layers(self, cut: str | Iterable[str]) -> tuple[str, ...]:
        """The smallest down-closed set that holds the named layers (and all inputs), in topological order.

        Raises:
            ModelError: a name is no layer; near matches are named.
        """
        wanted = [cut] if isinstance(cut, str) else list(cut)
        for name in wanted:
            if name not in self.layer:
                raise ModelError(f"no layer {name!r} in {self.name}{near(name, self.layer)}")
        inside = {self.producer[tensor].name for tensor in self.inputs}
        while wanted:
            name = wanted.pop()
            if name not in inside or not self.layer[name].inputs:
                wanted.extend(self.producer[tensor].name for tensor in self.layer[name].inputs)
            inside.add(name)
        return tuple(layer.name for layer in self.layers if layer.name in inside)

    def boundary(self, edge: Collection[str]) -> tuple[str, ...]:
        """Tensors made in the set of layers `edge` and read outside it, in topological order, each once.

        Raises:
            ModelError: `edge` is not down-closed.
        """
        inside = set(edge)
        crossing: set[str] = set()
        for layer in self.layers:
            sources = {tensor: self.producer[tensor].name in inside for tensor in layer.inputs}
            if layer.name not in inside:
                crossing.update(tensor for tensor, here in sources.items() if here)
            elif not all(sources.values()):
                outside = next(self.producer[tensor].name for tensor, here in sources.items() if not here)
                raise ModelError(f"not a partition: {layer.name!r} is at the edge but needs {outside!r} from the cloud")
        return tuple(tensor for layer in self.layers for tensor in layer.outputs if tensor in crossing)

    def between(self, given: Collection[str], wanted: Collection[str]) -> tuple[Layer, ...]:
        """The layers that compute the tensors `wanted` from the tensors `given`, in topological order.

        Raises:
            TensorError: a tensor is unknown, is missing from `given`, or is in `given` without being needed.
        """
        self._check_known([*given, *wanted])
        have, used, needed = set(given), set[str](), set[str]()
        missing: list[str] = []
        queue = list(wanted)
        while queue:
            tensor = queue.pop()
            if tensor in have:
                used.add(tensor)
                continue
            layer = self.producer[tensor]
            if not layer.inputs:
                missing.append(tensor)
            elif layer.name not in needed:
                needed.add(layer.name)
                queue.extend(layer.inputs)
        if missing:
            raise TensorError(
                f"missing tensors: {', '.join(sorted(set(missing)))} needed for {', '.join(wanted)}, "
                f"given only {', '.join(given) or 'nothing'}"
            )
        if unneeded := [tensor for tensor in given if tensor not in used]:
            raise TensorError(f"unneeded tensors: {', '.join(unneeded)} play no part in {', '.join(wanted)}")
        return tuple(layer for layer in self.layers if layer.name in needed)

    def _check_known(self, names: Iterable[str]) -> None:
        if unknown := [name for name in names if name not in self.tensors]:
            raise TensorError(f"unknown tensors in {self.name}: {', '.join(unknown)}{near(unknown[0], self.tensors)}")


def near(name: str, known: Iterable[str]) -> str:
    """``; did you mean 'a' or 'b'?`` for an error message, or nothing."""
    matches = difflib.get_close_matches(name, list(known), n=3, cutoff=0.5)
    return f"; did you mean {' or '.join(repr(match) for match in matches)}?" if matches else ""
