"""The small linear program of the Lagrangian bound, by the primal simplex method on a handful of rows.

Points (partitions) i with a linear cost c_i, stages s_ij and violations v_ik of limits are mixed with weights w_i >= 0,
sum 1, to

    minimise  z + sum_i c_i w_i + M sum_k u_k   subject to   sum_i s_ij w_i <= z  and  sum_i v_ik w_i <= u_k.

Its dual prices are the weights of stages (they sum to 1) and limits (at most M) that prove most. There are only as many
rows as stages and limits, and any single point is a feasible start, so a few pivots on a matrix of that size do what a
general solver spends milliseconds on. Nothing that is proved depends on this: any weights prove a bound.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from dnn_surgery.planning.structure import Floats, Ints

_PIVOTS = 300
_BLAND_AFTER = 60
_TOLERANCE = 1e-12


@dataclass(frozen=True, eq=False)
class Mixture:
    """Weights [points] of the mixture, dual prices [stages] and [limits], and the value of the program."""

    points: Floats
    stages: Floats
    limits: Floats
    value: float


def best_mixture(cost: Floats, stages: Floats, violations: Floats, heaviest: float) -> Mixture:
    """Solves the program for cost [points], stages [points, stages], violations [points, limits] and M = `heaviest`.

    Where the pivots run out the mixture so far is returned: feasible, though perhaps not the best.
    """
    count, kinds, limits = len(cost), stages.shape[1], violations.shape[1]
    rows = kinds + limits + 1
    # Columns: points, slack of every stage and limit, excess u of every limit, z.
    matrix = np.zeros((rows, count + rows - 1 + limits + (kinds > 0)))
    matrix[:kinds, :count] = stages.T
    matrix[kinds:-1, :count] = violations.T
    matrix[-1, :count] = 1.0
    matrix[: rows - 1, count : count + rows - 1] = np.eye(rows - 1)
    excess = count + rows - 1
    matrix[kinds:-1, excess : excess + limits] = -np.eye(limits)
    price = np.concatenate((cost, np.zeros(rows - 1), np.full(limits, heaviest)))
    if kinds:
        matrix[:kinds, -1] = -1.0
        price = np.append(price, 1.0)
    basis = _start(cost, stages, violations, heaviest)
    right = np.zeros(rows)
    right[-1] = 1.0
    values, duals = _pivot(matrix, price, right, basis)
    weights = np.zeros(matrix.shape[1])
    weights[basis] = values
    return Mixture(
        points=np.maximum(weights[:count], 0.0),
        stages=np.maximum(-duals[:kinds], 0.0),
        limits=np.minimum(np.maximum(-duals[kinds:-1], 0.0), heaviest),
        value=float(price[basis] @ values),
    )


def _start(cost: Floats, stages: Floats, violations: Floats, heaviest: float) -> Ints:
    """The basis of the best single point: z in the row of its largest stage, u in the rows of the limits it breaks."""
    count, kinds, limits = len(cost), stages.shape[1], violations.shape[1]
    total = cost + heaviest * np.maximum(violations, 0.0).sum(axis=1)
    if kinds:
        total = total + stages.max(axis=1)
    point = int(total.argmin())
    basis = count + np.arange(kinds + limits + 1)
    excess = count + kinds + limits
    if kinds:
        basis[int(stages[point].argmax())] = excess + limits
    for limit in np.flatnonzero(violations[point] > 0):
        basis[kinds + limit] = excess + limit
    basis[-1] = point
    return basis.astype(np.intp)


def _pivot(matrix: Floats, price: Floats, right: Floats, basis: Ints) -> tuple[Floats, Floats]:
    """The primal simplex method; changes `basis` and returns its values and the dual prices."""
    for step in range(_PIVOTS):
        inverse = np.linalg.inv(matrix[:, basis])
        values = inverse @ right
        duals = price[basis] @ inverse
        reduced = price - duals @ matrix
        reduced[basis] = 0.0
        scale = _TOLERANCE * max(1.0, float(np.abs(price[basis]).max()))
        better = np.flatnonzero(reduced < -scale)
        if not len(better):
            break
        # Bland's rule ends the cycles that the steepest column may run into.
        entering = int(better[0]) if step > _BLAND_AFTER else int(reduced.argmin())
        direction = inverse @ matrix[:, entering]
        blocking = np.flatnonzero(direction > _TOLERANCE)
        if not len(blocking):
            break
        ratios = np.maximum(values[blocking], 0.0) / direction[blocking]
        tied = blocking[ratios <= ratios.min() * (1 + 1e-12) + 1e-300]
        leaving = int(tied[basis[tied].argmin()]) if step > _BLAND_AFTER else int(tied[direction[tied].argmax()])
        basis[leaving] = entering
    return values, duals
