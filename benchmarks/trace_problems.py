"""Writes src/dnn_surgery/evaluation/problems: networks as problem files, for simulations that repeat to the last digit.

    python -m benchmarks.trace_problems

Every network is profiled on this machine by one thread; the edge is this machine made SLOWDOWN times slower (an
emulated device), the cloud this machine as it is. The picture may travel raw or as a jpeg of the twenty ImageNet
pictures (mean bytes, median seconds).
"""

from __future__ import annotations

from pathlib import Path

from dnn_surgery.edge.pictures import fit, read_picture
from dnn_surgery.evaluation.pictures import labelled_pictures
from dnn_surgery.evaluation.strategies import JPEG, measure_codec
from dnn_surgery.execution.engines import make_engine
from dnn_surgery.model.reference import load_model
from dnn_surgery.planning import CodecCost, Problem
from dnn_surgery.profiling.measure import profile

NETWORKS = ("resnet18", "vgg16", "efficientnet_lite0")
SLOWDOWN = 8.0
DATA = Path(__file__).parents[1] / "src/dnn_surgery/evaluation/problems"


def measured(name: str) -> Problem:
    """One network's problem."""
    graph = load_model(name)
    here = profile(graph, engine=make_engine(graph, threads=1))
    problem = Problem.from_profiles(here, here, SLOWDOWN)
    if graph.picture is None:
        raise SystemExit(f"{name} takes no pictures")
    pictures = [fit(read_picture(labelled.path), graph.picture) for labelled in labelled_pictures()]
    jpeg = measure_codec(JPEG, pictures)
    tensor = graph.picture.tensor
    as_jpeg = CodecCost(JPEG, round(jpeg.size_bytes), jpeg.encode_s * SLOWDOWN, jpeg.decode_s)
    raw = next(way for layer in problem.layers for t in layer.outputs if t.name == tensor for way in t.ways)
    return problem.with_codecs({tensor: [raw, as_jpeg]})


def main() -> None:
    for name in NETWORKS:
        (DATA / f"{name}.json").write_text(measured(name).to_json() + "\n", encoding="utf-8")
        print(f"{name} -> {DATA / name}.json")


if __name__ == "__main__":
    main()
