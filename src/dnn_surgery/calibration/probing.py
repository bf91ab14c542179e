"""How much a model's answer depends on each channel of a tensor, without gradients: by trying.

For signs s, drawn for each position, the output of x + e s in channel c less that of x is about e J_c s. The products
of these differences for all pairs of channels, in the metric of the answers, are in the mean over s just the Fisher
matrix of the channels summed over positions: what signs of two positions contribute together has the mean 0.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from dnn_surgery.calibration.metric import MetricOf
from dnn_surgery.errors import InputError
from dnn_surgery.execution.engine import Array, Part

MOST_RUNS = 1000
"""Runs of what lies behind the tensor: a frame takes one for each channel, so a frame at the least."""

MOST_FRAMES = 24

# In shares of the tensor's standard deviation: about what a codec does to it, and far above what float32 rounds.
_CHANGE = 0.1
# Outputs of more numbers are folded, with random signs, to so many: products of two stay the same in the mean.
_MOST_NUMBERS = 1 << 14

Matrix = NDArray[np.float64]
Progress = Callable[[int, int], None]


def probed_sensitivity(
    part: Part,
    tensor: str,
    samples: Sequence[Mapping[str, Array]],
    metric: MetricOf,
    *,
    most_runs: int = MOST_RUNS,
    seed: int = 0,
    progress: Progress | None = None,
) -> Matrix:
    """The Fisher matrix [C, C] of the channels of `tensor`, [N, C, ...], summed over positions, a mean over samples.

    Args:
        part: makes the model's outputs of `tensor` and whatever else it needs.
        samples: its inputs, by name; as many of them are used, spread over all, as `most_runs` allow.
        metric: what a change of an output costs.
        most_runs: of `part`; a sample takes as many as there are channels, and one.
        seed: of the signs.
        progress: called with (runs done, runs in all) after each sample.

    Raises:
        InputError: there are no samples.
    """
    if not samples:
        raise InputError("sensitivity is estimated from samples, and there are none")
    channels = samples[0][tensor].shape[1]
    runs = channels + 1
    spread = samples[:: -(-len(samples) // frames_of(channels, most_runs))]
    size = _CHANGE * float(np.std([sample[tensor] for sample in spread])) or 1.0
    draw = np.random.default_rng(seed)
    total = np.zeros((channels, channels))
    for done, sample in enumerate(spread, start=1):
        rows = _differences(part, tensor, sample, metric=metric, size=size, draw=draw)
        total += (rows @ rows.T) / size**2
        if progress:
            progress(done * runs, len(spread) * runs)
    return total / len(spread)


def frames_of(channels: int, most_runs: int = MOST_RUNS) -> int:
    """On how many frames a tensor of so many channels is tried."""
    return min(max(most_runs // (channels + 1), 1), MOST_FRAMES)


def _differences(
    part: Part,
    tensor: str,
    sample: Mapping[str, Array],
    *,
    metric: MetricOf,
    size: float,
    draw: np.random.Generator,
) -> Matrix:
    """For each channel what the signs in it change [C, numbers of the outputs], in the metric of the answers."""
    held = sample[tensor]
    expected = part(sample)
    costs = {name: metric(output) for name, output in expected.items()}
    step = (size * draw.choice([-1, 1], size=held[:, 0].shape)).astype(held.dtype)
    numbers = sum(output.size for output in expected.values())
    place = draw.integers(_MOST_NUMBERS, size=numbers)
    signs = draw.choice([-1, 1], size=numbers)
    rows = []
    for channel in range(held.shape[1]):
        changed = held.copy()
        changed[:, channel] += step
        found = part({**sample, tensor: changed})
        row = np.concatenate([cost.of(found[name] - expected[name]).reshape(-1) for name, cost in costs.items()])
        rows.append(np.bincount(place, signs * row, _MOST_NUMBERS) if numbers > _MOST_NUMBERS else row)
    return np.stack(rows)
