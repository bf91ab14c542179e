"""What profiles predict: predicted against measured head + tail over all candidate cuts of five networks, every engine.

Layers, heads and tails are measured in turn on one thread. `apart` counts the errors of head and tail each, so that
they cannot make up for each other. The repeatability is that of the measured head + tail: quartile spread over median.
"""

from __future__ import annotations

import statistics

from benchmarks.figure import Figure
from benchmarks.overhead import NETWORKS
from dnn_surgery.calibration.verification import VerifiedCut, quantile, verify
from dnn_surgery.execution.engines import ENGINES, make_engine
from dnn_surgery.model.reference import load_model


def run() -> list[Figure]:
    """Median and 95th percentile over all cuts of all networks, engine by engine; then network by network."""
    figures = []
    for engine_name in ENGINES:
        cuts: list[VerifiedCut] = []
        apiece = []
        for network in NETWORKS:
            engine = make_engine(load_model(network), name=engine_name, device="cpu", threads=1)
            found = verify(engine, repeats=9 if network == "vgg16" else 15)
            cuts.extend(found.cuts)
            apiece.append(Figure(f"{engine_name}: {network}, median error", 100 * found.median_error, "%"))
        figures.extend(_figures(engine_name, cuts))
        figures.extend(apiece)
    return figures


def _figures(engine_name: str, cuts: list[VerifiedCut]) -> list[Figure]:
    errors = [100 * abs(cut.error) for cut in cuts]
    apart = [100 * cut.error_apart for cut in cuts]
    spread = 100 * statistics.median(cut.repeatability for cut in cuts)
    prefix = f"{engine_name}, {len(cuts)} cuts"
    return [
        Figure(f"{prefix}: median error", statistics.median(errors), "%", at_most=5),
        Figure(f"{prefix}: p95 error", quantile(errors, 0.95), "%", at_most=15),
        Figure(f"{prefix}: median error, apart", statistics.median(apart), "%"),
        Figure(f"{prefix}: p95 error, apart", quantile(apart, 0.95), "%"),
        Figure(f"{prefix}: repeatability, median", spread, "%"),
    ]
