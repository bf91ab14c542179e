"""The list: every model that the test of breadth runs and that the table in docs/models.md shows.

`python -m tests.breadth` writes the table from this list; nothing in it is left out.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path

import torch

from dnn_surgery.model.normalisation import example_picture
from dnn_surgery.model.reference import load_model
from dnn_surgery.model.weights import load_weights, seed_weights
from dnn_surgery.model.zoo import entry as zoo_entry
from tests.breadth.checked import Entry, Subject, subject_of
from tests.breadth.habits import HABITS
from tests.breadth.more_architectures import MORE, MORE_OF_TRANSFORMERS
from tests.execution.architectures import ARCHITECTURES, Made, from_pytorchcv
from tests.onnx_files import REAL_FILES

ZOO = ("vgg16", "alexnet", "nin", "tiny_yolov2", "resnet18", "efficientnet_lite0")
_TRANSFORMERS = {"vit", "swin", "segformer", "bert", "gpt2", "convnext", "mobilevit", "yolos", "detr"}


def _of_zoo(name: str) -> Subject:
    found = zoo_entry(name)
    with torch.device("meta"):
        module = found.build(found.classes)
    if found.weights is not None:
        load_weights(module, found.weights())
    else:
        seed_weights(module)
    module.requires_grad_(False)
    return subject_of(module, {"picture": example_picture(found.picture)}, name=name, layers=found.layers)


def _of_module(name: str, make: Callable[[], Made]) -> Subject:
    module, inputs = make()
    return subject_of(module, inputs, name=name)


def _of_file(name: str) -> Subject:
    path, shapes = REAL_FILES[name]
    return Subject(load_model(str(path), input_shapes=shapes))


def _exported() -> Subject:
    """A network that torch.onnx wrote, as users do, loaded from its file."""
    module, inputs = from_pytorchcv("mobilenetv2_w1", 64)
    path = Path(tempfile.mkdtemp(prefix="dnn-surgery-")) / "mobilenetv2_exported.onnx"
    exported = torch.onnx.export(module, tuple(inputs.values()), dynamo=True, verbose=False)
    assert exported is not None
    exported.save(path)
    with torch.inference_mode():
        expected = module(**inputs).numpy()
    graph = load_model(str(path))
    return Subject(graph, {graph.outputs[0]: expected}, {graph.inputs[0]: inputs["x"].numpy()})


def _source(name: str) -> str:
    if name == "lstm":
        return "torch.nn"
    return "transformers" if name in _TRANSFORMERS | MORE_OF_TRANSFORMERS.keys() else "pytorchcv"


MODELS: tuple[Entry, ...] = (
    *(Entry(name, "zoo", partial(_of_zoo, name)) for name in ZOO),
    *(
        Entry(name, _source(name), partial(_of_module, name, make))
        for name, make in {**ARCHITECTURES, **MORE, **MORE_OF_TRANSFORMERS}.items()
    ),
    *(
        Entry(name, source, partial(_of_file, file))
        for name, source, file in (
            ("320n.onnx", "nudenet: YOLOv8", "yolov8"),
            ("ch_PP-OCRv4_det_infer.onnx", "rapidocr: detector", "detector"),
            ("ch_ppocr_mobile_v2.0_cls_infer.onnx", "rapidocr: classifier", "classifier"),
            ("ch_PP-OCRv4_rec_infer.onnx", "rapidocr: recogniser", "recogniser"),
        )
    ),
    Entry("mobilenetv2_exported.onnx", "pytorchcv by torch.onnx", _exported),
    *(Entry(name, "made for this table", partial(_of_module, name, make)) for name, make in HABITS.items()),
)

# What the quick tests run: one of each kind.
QUICK = ("efficientnet_lite0", "squeezenet", "unet", "dinov2", "lstm", "ch_ppocr_mobile_v2.0_cls_infer.onnx")

# What must be refused, and what the line says.
REFUSALS = {
    "revnet38": "does not see all that it computes",
    "simplepose_keypoints": r"depends on values that it computes .*\(common.py:\d+\)",
    "a branch on data": r"depends on values that it computes .*\(habits.py:\d+\)",
    "dropout in evaluation": r"draws random numbers \(native_dropout",
    "random numbers": r"draws random numbers \(randn_like",
    "a counter in a buffer": r"changes its own state \(calls\)",
    "a memory in an attribute": r"keeps tensors of a call for the next one: self.last",
    "a way through numpy": r"leaves PyTorch on the way",
    "no tensor as result": "returns no tensor that depends on its inputs",
}
