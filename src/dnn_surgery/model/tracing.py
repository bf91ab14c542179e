"""A ModelGraph from a PyTorch module, by `torch.export`.

module --export--> program --functionalise--> operators --group--> layers --name--> ModelGraph
                                                                    ^
                                      example inputs --run once-----+ sizes, memory order of each tensor
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch.export import ExportedProgram

from dnn_surgery.errors import ModelError
from dnn_surgery.model.exporting import export, quiet
from dnn_surgery.model.graph import ModelGraph, Picture
from dnn_surgery.model.torch_graph import Builder, Description, LayerModules

Examples = torch.Tensor | Sequence[Any] | Mapping[str, Any]


def trace(
    module: torch.nn.Module,
    example_inputs: Examples,
    *,
    name: str | None = None,
    layers: LayerModules | None = None,
    picture: Picture | None = None,
    labels: Sequence[str] | None = None,
    notices: Sequence[str] = (),
    dynamic_shapes: Any = None,
) -> ModelGraph:
    """The graph of a module in evaluation mode.

    Args:
        module: what to trace; its parameters are shared, not copied.
        example_inputs: a tensor, the positional arguments, or the keyword arguments by name.
        name: the model's name; the class's name by default.
        layers: layers that a caller wants: name -> paths of the modules whose operators form it. All other operators
            are grouped by themselves.
        picture: how a frame becomes the input, where the input is a picture.
        labels: the names of the classes.
        notices: what a user should be told about this model.
        dynamic_shapes: as `torch.export.export` takes it; give an example with a batch of at least 2 then.

    Raises:
        ModelError: the module cannot be exported, changes its own state, or draws random numbers.
    """
    arguments: tuple[Any, ...] = ()
    keywords: dict[str, Any] = {}
    if isinstance(example_inputs, torch.Tensor):
        arguments = (example_inputs,)
    elif isinstance(example_inputs, Mapping):
        keywords = dict(example_inputs)
    else:
        arguments = tuple(example_inputs)
    name = name or type(module).__name__
    arguments, keywords = _distinct((arguments, keywords))
    notices = (*notices, *_fast_path_notices(module))
    exported = export(module, arguments, keywords, name=name, dynamic_shapes=dynamic_shapes)
    return from_exported(exported, name=name, layers=layers, picture=picture, labels=labels, notices=notices)


def from_exported(
    exported: ExportedProgram,
    *,
    name: str,
    layers: LayerModules | None = None,
    picture: Picture | None = None,
    labels: Sequence[str] | None = None,
    notices: Sequence[str] = (),
) -> ModelGraph:
    """The graph of a program that `torch.export` made, such as a ``.pt2`` file. The rest is as in :func:`trace`."""
    description = Description(name, dict(layers or {}), picture, tuple(labels) if labels else None, tuple(notices))
    with torch.no_grad(), quiet():
        functional = exported.run_decompositions({})
        return Builder(functional, examples_of(exported, name), description).build()


def _distinct(examples: Any) -> Any:
    """The examples, a tensor that stands in them twice copied: export would take both for one input."""
    seen = set[int]()

    def once(value: Any) -> Any:
        if isinstance(value, torch.Tensor) and id(value) in seen:
            return value.clone()
        seen.add(id(value))
        return value

    return torch.utils._pytree.tree_map(once, examples)


def _fast_path_notices(module: torch.nn.Module) -> tuple[str, ...]:
    """What a user should know of modules that run otherwise when they are not exported."""
    if not any(isinstance(part, torch.nn.TransformerEncoderLayer) for part in module.modules()):
        return ()
    return (
        "nn.TransformerEncoderLayer takes a fast path in PyTorch that rounds otherwise than its operators do here; "
        "torch.backends.mha.set_fastpath_enabled(False) makes both equal to the bit",
    )


def examples_of(exported: ExportedProgram, name: str) -> list[Any]:
    """The inputs that a program was exported with, in their order.

    Raises:
        ModelError: it was exported without.
    """
    if exported.example_inputs is None:
        raise ModelError(f"{name} was exported without example inputs")
    arguments, keywords = exported.example_inputs
    if keywords:
        order = list(exported.call_spec.in_spec.child(1).context) if exported.call_spec.in_spec else list(keywords)
        keywords = {key: keywords[key] for key in order}
    leaves, _ = torch.utils._pytree.tree_flatten((arguments, keywords))
    return list(leaves)
