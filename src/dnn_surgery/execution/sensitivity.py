"""How much a model's answer depends on each channel of a tensor, by gradients in PyTorch."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import fx

from dnn_surgery.errors import InputError
from dnn_surgery.execution.engine import Array
from dnn_surgery.execution.torch_engine import TorchEngine, build_module

Draw = Callable[[Array, np.random.Generator], Array]
"""A random direction in which to look at an output, with what a change of it costs as its covariance."""


def channel_sensitivity(
    engine: TorchEngine, tensor: str, samples: Iterable[Array], draw: Draw, *, draws: int = 4, seed: int = 0
) -> NDArray[np.float64]:
    """The Fisher matrix [C, C] of the channels of `tensor`, [N, C, ...], summed over positions, a mean over samples.

    With the Jacobian J of the outputs and M what a change of them costs it is J^T M J: J^T r of a direction r that has
    M as its covariance has just this matrix as its own, so a few draws a sample estimate it.

    Args:
        engine: runs the model.
        tensor: everything behind it must depend on it alone.
        samples: arrays of the tensor.
        draw: see :data:`Draw`.
        draws: random directions a sample.
        seed: of the directions.

    Raises:
        TensorError: the outputs depend on more than this tensor.
        InputError: there are no samples.
    """
    engine.part((tensor,), engine.graph.outputs)
    module = _differentiable(build_module(engine, (tensor,), engine.graph.outputs))
    generator = np.random.default_rng(seed)
    total, count = None, 0
    for sample in samples:
        given = engine.to_native(tensor, sample).clone().requires_grad_(True)
        outputs = [output for output in module(given) if output.requires_grad]
        held = [output.detach().cpu().numpy() for output in outputs]
        for _ in range(draws):
            directions = [_like(draw(array, generator), output) for array, output in zip(held, outputs, strict=True)]
            (gradient,) = torch.autograd.grad(outputs, given, directions, retain_graph=True)
            rows = gradient.transpose(0, 1).reshape(gradient.shape[1], -1).double().cpu().numpy()
            total = rows @ rows.T if total is None else total + rows @ rows.T
            count += 1
    if total is None:
        raise InputError("sensitivity is estimated from samples, and there are none")
    matrix: NDArray[np.float64] = total / count
    return matrix


def _like(array: Array, output: Any) -> torch.Tensor:
    return torch.from_numpy(array).to(dtype=output.dtype, device=output.device)


def _differentiable(module: fx.GraphModule) -> fx.GraphModule:
    """The module with constants that gradients may pass: those of an engine are made in inference mode."""
    for part in module.modules():
        for name, value in [*vars(part).items(), *part._buffers.items()]:
            if isinstance(value, torch.Tensor) and value.is_inference():
                setattr(part, name, value.clone())
    return module
