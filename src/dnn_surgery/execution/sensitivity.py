"""How much a model's answer depends on each channel of a tensor, by gradients in PyTorch."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import fx

from dnn_surgery.errors import InputError
from dnn_surgery.execution.engine import Array
from dnn_surgery.execution.torch_engine import TorchEngine, build_module

# Classes of less probability than this would, with their large weight, be all that the estimate sees.
_LEAST_PROBABILITY = 1e-6


def channel_sensitivity(
    engine: TorchEngine, tensor: str, samples: Iterable[Array], *, draws: int = 4, seed: int = 0
) -> NDArray[np.float64]:
    """The Fisher matrix [C, C] of the channels of `tensor`, [N, C, ...], summed over positions, a mean over samples.

    For probabilities p(x) the Fisher matrix is J^T diag(1 / p) J with the Jacobian J of p (Amari, Natural gradient
    works efficiently in learning, 1998); J^T (r / sqrt(p)) of a normal r has just this matrix as its covariance, so a
    few draws of r a sample estimate it. For outputs that are no probabilities it is J^T J, the Gauss-Newton matrix.

    Args:
        engine: runs the model.
        tensor: everything behind it must depend on it alone.
        samples: arrays of the tensor.
        draws: random directions a sample.
        seed: of the directions.

    Raises:
        TensorError: the outputs depend on more than this tensor.
        InputError: there are no samples.
    """
    engine.part((tensor,), engine.graph.outputs)
    module = _differentiable(build_module(engine, (tensor,), engine.graph.outputs))
    draw = torch.Generator().manual_seed(seed)
    total, count = None, 0
    for sample in samples:
        given = engine.to_native(tensor, sample).clone().requires_grad_(True)
        outputs = module(given)
        directions = [_weights(output) for output in outputs]
        for _ in range(draws):
            scalar = sum(
                (output * weight * torch.randn(output.shape, generator=draw).to(output.device)).sum()
                for output, weight in zip(outputs, directions, strict=True)
            )
            (gradient,) = torch.autograd.grad(scalar, given, retain_graph=True)
            rows = gradient.transpose(0, 1).reshape(gradient.shape[1], -1).double().cpu().numpy()
            total = rows @ rows.T if total is None else total + rows @ rows.T
            count += 1
    if total is None:
        raise InputError("sensitivity is estimated from samples, and there are none")
    matrix: NDArray[np.float64] = total / count
    return matrix


def _weights(output: torch.Tensor) -> torch.Tensor | float:
    """1 / sqrt(p) where the last dimension is a probability distribution, else 1."""
    values = output.detach()
    sums = values.sum(dim=-1)
    if bool((values >= 0).all()) and bool(torch.allclose(sums, torch.ones_like(sums), atol=1e-3)):
        return values.clamp_min(_LEAST_PROBABILITY).rsqrt()
    return 1.0


def _differentiable(module: fx.GraphModule) -> fx.GraphModule:
    """The module with constants that gradients may pass: those of an engine are made in inference mode."""
    for part in module.modules():
        for name, value in [*vars(part).items(), *part._buffers.items()]:
            if isinstance(value, torch.Tensor) and value.is_inference():
                setattr(part, name, value.clone())
    return module
