"""Which graphs read a picture, and what their outputs mean. Knows no engine."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from dnn_surgery.errors import ModelError
from dnn_surgery.model.graph import ModelGraph, Picture
from dnn_surgery.model.postprocess import Postprocess, detection_format, show_formats


def with_picture(graph: ModelGraph) -> ModelGraph:
    """The graph, with a `Picture` if it has none and its only input is uint8 `[N, H, W, 3]`: nothing else looks so."""
    tensor = graph.tensors[graph.inputs[0]]
    if graph.picture is not None or len(graph.inputs) != 1 or tensor.dtype != "uint8" or len(tensor.shape) != 4:
        return graph
    _, height, width, channels = tensor.shape
    if channels != 3 or height is None or width is None:
        return graph
    return replace(graph, picture=Picture(tensor=tensor.name, height=height, width=width))


def with_postprocess(graph: ModelGraph, postprocess: Postprocess | None, *, suppressed: bool = False) -> ModelGraph:
    """The graph that says what its outputs mean.

    Raises:
        ModelError: boxes are asked for that the graph does not make.
    """
    if postprocess is None:
        return graph
    shapes = [graph.tensors[name].shape for name in graph.outputs]
    if postprocess.task == "detect" and not suppressed and not any(map(detection_format, shapes)):
        made = ", ".join(str(list(shape)) for shape in shapes)
        raise ModelError(f"postprocess: task detect needs an output {show_formats()}, {graph.name} makes {made}")
    return replace(graph, postprocess=replace(postprocess, suppressed=suppressed))


def example_pixels(picture: Picture) -> NDArray[np.uint8]:
    """A picture `[1, H, W, 3]` to trace and measure with: smooth gradients and some texture, the same everywhere."""
    rows, columns = np.mgrid[: picture.height, : picture.width]
    channels = (255 * rows // picture.height, 255 * columns // picture.width, (rows ^ columns) & 255)
    return np.stack(channels, axis=-1).astype(np.uint8)[None]


def detects(postprocess: Postprocess | None) -> bool:
    """Whether suppression is to end the graph."""
    return postprocess is not None and postprocess.task == "detect"
