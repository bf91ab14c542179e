"""Preprocess and suppression around ONNX files: equal to PyTorch's stages on the same arrays, and part of the graph."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnx_ir as ir
import onnxruntime
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper

from dnn_surgery.edge.detections import detect
from dnn_surgery.edge.pictures import fit, read_picture
from dnn_surgery.edge.result import classify
from dnn_surgery.errors import ModelError
from dnn_surgery.execution.engine import Array
from dnn_surgery.execution.engines import make_engine
from dnn_surgery.execution.split import Head, Tail
from dnn_surgery.execution.tolerance import TOLERANCE, deviation
from dnn_surgery.model.detections import STEPS, Detections
from dnn_surgery.model.graph import ModelGraph, Picture
from dnn_surgery.model.normalisation import PreprocessStage
from dnn_surgery.model.postprocess import DETECTIONS, Postprocess
from dnn_surgery.model.preprocess import Preprocess, Triple
from dnn_surgery.model.reference import load_model
from tests.evaluation.pictures import IMAGENET
from tests.model.test_detections import SUPPRESSED, TASK, chain, random_output
from tests.onnx_files import REAL_FILES, small_model

torch.set_num_threads(1)


@pytest.fixture(autouse=True, scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> None:
    pytest.MonkeyPatch().setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))


def passing(folder: Path, shape: list[int | str], made: list[int | str] | None = None, **options: int) -> str:
    """A file whose network hands on what it reads."""
    graph = helper.make_graph(
        [helper.make_node("Identity", ["x"], ["y"], name="network")],
        "passing",
        [helper.make_tensor_value_info("x", options.get("kind", TensorProto.FLOAT), shape)],
        [helper.make_tensor_value_info("y", options.get("kind", TensorProto.FLOAT), made or shape)],
    )
    opsets = [helper.make_opsetid("", options.get("opset", 17))]
    onnx.save(helper.make_model(graph, opset_imports=opsets, ir_version=8), folder / "passing.onnx")
    return str(folder / "passing.onnx")


def run_whole(graph: ModelGraph, array: Array) -> Array:
    (made,) = make_engine(graph, threads=1).part(graph.inputs, graph.outputs)({graph.inputs[0]: array}).values()
    return np.asarray(made)


@pytest.mark.parametrize("color", ["rgb", "bgr"])
@pytest.mark.parametrize("layout", ["nchw", "nhwc"])
@pytest.mark.parametrize(
    "values",
    [
        (1 / 255, (0.0, 0.0, 0.0), (1.0, 1.0, 1.0)),
        (1.0, (127.0, 128.0, 129.0), (60.0, 61.0, 62.0)),
        (1 / 255, (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
    ],
)
def test_the_network_reads_what_pytorch_s_stage_makes_to_the_bit(
    color: str, layout: str, values: tuple[float, Triple, Triple], tmp_path: Path
) -> None:
    does = Preprocess("stretch", (5, 7), *values, color, layout)
    path = passing(tmp_path, ["N", 3, "H", "W"] if layout == "nchw" else ["N", "H", "W", 3])
    graph = load_model(path, preprocess=does)
    assert graph.picture == Picture("picture", 5, 7, "stretch")
    assert [layer.name for layer in graph.layers] == ["picture", "input"]
    picture = np.random.default_rng(0).integers(0, 256, (2, 5, 7, 3), dtype=np.uint8)
    expected = PreprocessStage(does)(torch.from_numpy(picture)).numpy()
    assert np.array_equal(run_whole(graph, picture), expected)


def test_half_precision_networks_read_half_precision(tmp_path: Path) -> None:
    graph = load_model(passing(tmp_path, [1, 3, 4, 4], kind=TensorProto.FLOAT16), preprocess=Preprocess())
    picture = np.full((1, 4, 4, 3), 51, np.uint8)
    made = run_whole(graph, picture)
    assert made.dtype == np.float16
    assert np.all(made == np.float16(0.2))


def suppressed_by_onnx(raw: Array, folder: Path, shape: list[int | str] | None = None) -> Array:
    graph = load_model(passing(folder, shape or list(raw.shape)), postprocess=TASK)
    assert graph.postprocess == SUPPRESSED
    assert graph.outputs == ("detections",)
    return run_whole(graph, raw)


@pytest.mark.parametrize("seed", range(10))
def test_suppression_keeps_what_pytorch_s_stage_keeps(seed: int, tmp_path: Path) -> None:
    raw = random_output(seed)
    found = suppressed_by_onnx(raw.numpy(), tmp_path)
    expected = Detections(TASK)(raw).numpy()
    assert found.shape == (2, DETECTIONS, 6)
    assert (expected[..., 4] > 0).sum() > 20
    assert np.array_equal(found, expected)


def test_the_older_layout_and_open_sizes_give_the_same(tmp_path: Path) -> None:
    raw = random_output(1)
    older = torch.cat([raw[:, :4], torch.ones(2, 1, raw.shape[2]), raw[:, 4:]], dim=1).transpose(1, 2).contiguous()
    expected = Detections(TASK)(raw).numpy()
    assert np.array_equal(suppressed_by_onnx(older.numpy(), tmp_path), expected)
    assert np.array_equal(suppressed_by_onnx(raw.numpy(), tmp_path, ["N", 7, "anchors"]), expected)


def test_chains_of_any_length_are_decided_as_at_the_edge(tmp_path: Path) -> None:
    raw = chain(3 * STEPS).numpy()
    rows = suppressed_by_onnx(raw, tmp_path)
    assert detect({"rows": rows}, SUPPRESSED, None, None) == pytest.approx(detect({"raw": raw}, TASK, None, None))


def test_nothing_found_is_rows_of_zeros(tmp_path: Path) -> None:
    raw = random_output(0).numpy()
    raw[:, 4:] = 0.1
    assert not suppressed_by_onnx(raw, tmp_path).any()


def test_boxes_without_an_area_suppress_nothing(tmp_path: Path) -> None:
    raw = random_output(2)
    raw[:, 2:4, ::3] *= -1
    assert np.array_equal(suppressed_by_onnx(raw.numpy(), tmp_path), Detections(TASK)(raw).numpy())


YOLO = REAL_FILES["yolov8"][0]
DETECT = Postprocess("detect", confidence=0.2, iou=0.45)


@pytest.fixture(scope="module")
def detector() -> ModelGraph:
    return load_model(str(YOLO), preprocess=Preprocess("letterbox", (320, 320)), postprocess=DETECT)


def test_a_real_detector_on_real_pictures_finds_what_its_raw_output_says(detector: ModelGraph) -> None:
    assert detector.picture == Picture("picture", 320, 320, "letterbox")
    assert [detector.layers[index].name for index in (0, 1, -1)] == ["picture", "input", "detections"]
    assert detector.tensors["detections"].size_bytes == DETECTIONS * 6 * 4
    whole = make_engine(detector, threads=1).part(detector.inputs, detector.outputs)
    raw = onnxruntime.InferenceSession(str(YOLO), providers=["CPUExecutionProvider"])
    seen = 0
    for path in IMAGENET:
        picture = fit(read_picture(path), detector.picture)
        read = (picture.transpose(0, 3, 1, 2).astype(np.float32) * np.float32(1 / 255)).astype(np.float32)
        expected = Detections(DETECT)(torch.from_numpy(raw.run(None, {"images": read})[0])).numpy()
        found = whole({"picture": picture})["detections"]
        assert np.array_equal(found[..., 5], expected[..., 5]), path.name
        assert deviation(found, expected) <= TOLERANCE
        seen += int((found[..., 4] > 0).sum())
    assert seen >= 3


def test_every_kind_of_cut_of_the_detector_gives_the_same_boxes(detector: ModelGraph) -> None:
    engine = make_engine(detector, threads=1)
    picture = fit(read_picture(IMAGENET[0]), detector.picture or Picture("picture", 320, 320))
    expected = engine.part(detector.inputs, detector.outputs)({"picture": picture})["detections"]
    assert (expected[..., 4] > 0).sum() > 0
    for cut in ("picture", "input", detector.layers[len(detector.layers) // 2].name, detector.layers[-2].name):
        edge = detector.edge_layers(cut)
        made = Tail(engine, edge)(Head(engine, edge)({"picture": picture}))["detections"]
        assert np.array_equal(made[..., 5], expected[..., 5]), cut
        assert deviation(made, expected) <= TOLERANCE, cut


def test_a_real_classifier_of_text_lines_says_which_way_up() -> None:
    does = Preprocess("stretch", (48, 192), mean=(0.5,) * 3, std=(0.5,) * 3, color="bgr")
    graph = load_model(str(REAL_FILES["classifier"][0]), preprocess=does, postprocess=Postprocess("classify"))
    line = np.full((1, 48, 192, 3), 255, np.uint8)
    line[:, 10:38, 20:170:9] = 0
    answer = classify({"scores": run_whole(graph, line)}, ("0", "180"))
    assert answer is not None
    assert answer.label in ("0", "180")
    assert 0.5 <= answer.confidence <= 1


@pytest.mark.parametrize(
    "change", [{"scale": 1.0}, {"mean": (0.5,) * 3}, {"std": (0.5, 0.5, 0.25)}, {"color": "bgr"}, {"size": (32, 40)}]
)
def test_both_sides_must_agree_on_it(change: dict[str, object], tmp_path: Path) -> None:
    path = passing(tmp_path, [1, 3, "H", "W"])
    settings: dict[str, object] = {"size": (32, 32), **change}
    plain = load_model(path, preprocess=Preprocess(size=(32, 32))).fingerprint
    assert plain == load_model(path, preprocess=Preprocess(size=(32, 32))).fingerprint
    assert plain != load_model(path, preprocess=Preprocess(**settings)).fingerprint  # type: ignore[arg-type]


@pytest.mark.parametrize("change", [{"confidence": 0.25}, {"iou": 0.6}])
def test_and_on_suppression(change: dict[str, float], tmp_path: Path) -> None:
    path = passing(tmp_path, [1, 7, 300])
    other = Postprocess("detect", **{"confidence": 0.3, "iou": 0.5, **change})  # type: ignore[arg-type]
    assert load_model(path, postprocess=TASK).fingerprint != load_model(path, postprocess=other).fingerprint


def test_names_of_the_file_are_not_taken(tmp_path: Path) -> None:
    graph = helper.make_graph(
        [helper.make_node("Add", ["picture", "input"], ["detections"], name="input")],
        "names",
        [helper.make_tensor_value_info("picture", TensorProto.FLOAT, [1, 3, 4, 4])],
        [helper.make_tensor_value_info("detections", TensorProto.FLOAT, [1, 3, 4, 4])],
        [numpy_helper.from_array(np.ones(1, np.float32), "input")],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), tmp_path / "n.onnx")
    loaded = load_model(str(tmp_path / "n.onnx"), preprocess=Preprocess(scale=1.0))
    assert loaded.picture == Picture("picture_", 4, 4)
    assert np.all(run_whole(loaded, np.full((1, 4, 4, 3), 7, np.uint8)) == 8)


@pytest.mark.parametrize(
    ("shape", "options", "stages", "message"),
    [
        ([1, 5, 4, 4], {}, (Preprocess(), None), r"layout nchw needs an input \[N, 3, H, W\], the model reads"),
        ([1, 3, 4, 4], {}, (Preprocess(size=(5, 5)), None), "size is 5 x 5, the model reads 4 x 4"),
        ([1, 3, 4, 4], {"kind": TensorProto.UINT8}, (Preprocess(), None), "reads pictures already"),
        ([1, 3, 4, 4], {"kind": TensorProto.INT64}, (Preprocess(), None), "makes floating-point pictures"),
        ([1, 3, 4, 4], {"opset": 9}, (Preprocess(), None), "is of opset 9; preprocess and detect need 11 or newer"),
        ([1, 3, 4, 4], {}, (None, TASK), r"task detect needs an output .* makes \[1, 3, 4, 4\]"),
    ],
)
def test_what_does_not_fit_is_one_line(
    shape: list[int | str],
    options: dict[str, int],
    stages: tuple[Preprocess | None, Postprocess | None],
    message: str,
    tmp_path: Path,
) -> None:
    path = passing(tmp_path, shape, None, **options)
    with pytest.raises(ModelError, match=message) as caught:
        load_model(path, preprocess=stages[0], postprocess=stages[1])
    assert "\n" not in str(caught.value)


def test_a_model_with_two_inputs_reads_no_picture(tmp_path: Path) -> None:
    model = ir.from_proto(small_model())
    model.graph.inputs.append(ir.val("y", dtype=ir.DataType.FLOAT, shape=[1, 8]))
    ir.save(model, tmp_path / "two.onnx")
    with pytest.raises(ModelError, match="has 2 inputs; preprocess and postprocess need a model with one"):
        load_model(str(tmp_path / "two.onnx"), preprocess=Preprocess())
