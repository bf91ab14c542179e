"""What the model says about a frame, in words: a label, boxes, or nothing that we know how to read."""

from __future__ import annotations

from dnn_surgery.edge.detections import Detection, detect
from dnn_surgery.edge.fitting import placement
from dnn_surgery.edge.result import Classification, FrameResult, classify
from dnn_surgery.model.graph import ModelGraph

Answer = Classification | tuple[Detection, ...]


def answer(graph: ModelGraph, result: FrameResult) -> Answer | None:
    """A label for a classifier, boxes in the frame's pixels for a detector; None where the outputs are to stay as they
    are, or are of neither kind.

    Without a postprocess of the graph, a model with one output [1, classes] is taken for a classifier. Of a frame of
    unknown size, or of a model that reads no pictures, boxes are in pixels of the input.
    """
    task = graph.postprocess
    if task is not None and task.task == "none":
        return None
    if task is None or task.task == "classify":
        return classify(result.outputs, graph.labels)
    where = None
    if graph.picture is not None and result.frame_size is not None:
        where = placement(*result.frame_size, graph.picture)
    return detect(result.outputs, task, graph.labels, where)
