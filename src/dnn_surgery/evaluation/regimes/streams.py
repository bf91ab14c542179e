"""H.264 as an alternative, through the same guard. It is predicted only: `run` sends no streams."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

from dnn_surgery.calibration.answers import Outputs
from dnn_surgery.calibration.calibration import Calibration
from dnn_surgery.calibration.verifier import FrameVerifier
from dnn_surgery.evaluation.regimes.search import Way
from dnn_surgery.evaluation.video_stream import FACTORS, Stream, send
from dnn_surgery.execution.engine import Engine


def stream_ways(engine: Engine, calibration: Calibration, path: Path, whole_s: float) -> Iterator[Way]:
    """The frames in their order, as a camera sends them, at the poorest quality that is proved; nothing if none is.

    Args:
        engine: runs the network, which takes one picture.
        calibration: the frames, and the accuracy to prove.
        path: where the outcome is kept.
        whole_s: what the network takes in the cloud.
    """
    if not path.exists():
        path.write_text(json.dumps(_proved(engine, calibration)), encoding="utf-8")
    found = json.loads(path.read_text(encoding="utf-8"))
    if found is not None:
        codec = (engine.graph.inputs[0], f"h264 crf {found['factor']}")
        cloud_s = whole_s + found["decode_s"]
        yield Way("h264", "", (codec,), found["encode_s"], found["size_bytes"], cloud_s, found["proved"])


def _proved(engine: Engine, calibration: Calibration) -> dict[str, float] | None:
    graph, accuracy, frames = engine.graph, calibration.accuracy, calibration.held_out
    (tensor,) = graph.inputs
    verifier = FrameVerifier(engine, frames, accuracy=accuracy)
    part = engine.part(graph.inputs, graph.outputs)
    for factor in FACTORS:
        stream = send([frame[tensor] for frame in frames], factor)

        def outputs_of(index: int, stream: Stream = stream) -> Outputs:
            return part({tensor: stream.frames[index]})

        proved = verifier.judge(outputs_of).bound
        if accuracy is not None and proved >= accuracy:
            costs = {key: getattr(stream, key) for key in ("encode_s", "decode_s", "size_bytes")}
            return {"factor": factor, "proved": proved, **costs}
    return None
