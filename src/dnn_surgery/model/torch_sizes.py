"""How a size that varies (a dynamic batch) is read from the shape of a tensor at hand, so that it is never sent."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import sympy
import torch
from torch import fx

from dnn_surgery.model.torch_nodes import size_expression


@dataclass(frozen=True, slots=True)
class Reading:
    """``size = (factor * shape[dim] + offset) // divisor`` of the tensor that `node` makes; exact where it is used."""

    node: fx.Node
    dim: int
    factor: int
    offset: int
    divisor: int


def reading(size: fx.Node, tensors: Iterable[fx.Node]) -> Reading | None:
    """The first way to read `size` from the shapes of `tensors`; None where none tells it."""
    wanted = sympy.sympify(size_expression(size))
    for node in tensors:
        value = node.meta.get("val")
        for dim, length in enumerate(value.shape if isinstance(value, torch.Tensor) else ()):
            if isinstance(length, torch.SymInt) and (found := _affine(wanted, length.node.expr)) is not None:
                return Reading(node, dim, *found)
    return None


def _affine(wanted: sympy.Expr, known: sympy.Expr) -> tuple[int, int, int] | None:
    """Integers (factor, offset, divisor) with ``wanted = (factor * known + offset) / divisor``."""
    symbols = known.free_symbols
    if not symbols or wanted.free_symbols != symbols:
        return None
    symbol = min(symbols, key=str)
    slope = sympy.simplify(wanted.diff(symbol) / known.diff(symbol)) if known.diff(symbol) != 0 else None
    if slope is None or not slope.is_Rational:
        return None
    rest = sympy.simplify(wanted - slope * known)
    if not rest.is_Rational:
        return None
    divisor = sympy.ilcm(slope.q, rest.q)
    return int(slope * divisor), int(rest * divisor), int(divisor)
