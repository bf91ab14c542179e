"""Preprocess and postprocess as parts of the graph."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from dnn_surgery.edge.pictures import fit, read_picture
from dnn_surgery.edge.result import classify
from dnn_surgery.errors import ModelError
from dnn_surgery.execution.engine import Array
from dnn_surgery.execution.engines import make_engine
from dnn_surgery.execution.split import split
from dnn_surgery.model.graph import ModelGraph, Picture
from dnn_surgery.model.postprocess import Postprocess
from dnn_surgery.model.preprocess import Preprocess
from dnn_surgery.model.reference import load_model
from tests.edge.detectors import like_yolov8
from tests.evaluation.pictures import IMAGENET
from tests.model.stage_networks import Bare, bare

torch.set_num_threads(1)

HOME = "tests.model.stage_networks"
DETECT = Postprocess("detect", confidence=0.5, iou=0.5)


def load(
    name: str, preprocess: Preprocess | None = None, postprocess: Postprocess | None = None, home: str = HOME
) -> ModelGraph:
    return load_model(f"{home}:{name}", trust_model=True, preprocess=preprocess, postprocess=postprocess)


def answer_of(graph: ModelGraph, picture: Array) -> Array:
    engine = make_engine(graph, device="cpu", threads=1)
    (array,) = engine.part(graph.inputs, graph.outputs)({graph.inputs[0]: picture}).values()
    return np.asarray(array)


@pytest.mark.parametrize("color", ["rgb", "bgr"])
@pytest.mark.parametrize("layout", ["nchw", "nhwc"])
@pytest.mark.parametrize(
    ("scale", "mean", "std"),
    [
        (1 / 255, (0.0, 0.0, 0.0), (1.0, 1.0, 1.0)),
        (1.0, (127.0, 128.0, 129.0), (60.0, 61.0, 62.0)),
        (0.5, (0, 1, 2), (1, 1, 1)),
    ],
)
def test_the_network_reads_what_the_record_says(
    color: str, layout: str, scale: float, mean: tuple[float, float, float], std: tuple[float, float, float]
) -> None:
    does = Preprocess("stretch", (5, 7), scale, mean, std, color, layout)
    graph = load("passing", does)
    assert graph.picture == Picture("picture", 5, 7, "stretch")
    picture = np.random.default_rng(0).integers(0, 256, (1, 5, 7, 3), dtype=np.uint8)
    ordered = picture[..., ::-1] if color == "bgr" else picture
    expected = (ordered.astype(np.float64) * scale - np.array(mean)) / np.array(std)
    if layout == "nchw":
        expected = expected.transpose(0, 3, 1, 2)
    assert np.allclose(answer_of(graph, picture), expected, atol=1e-5)


def test_the_picture_can_be_sent_and_every_cut_is_exact() -> None:
    graph = load("bare", Preprocess(size=(32, 32)))
    assert [layer.name for layer in graph.layers] == ["picture", "input", "stem.0", "mean", "fc"]
    picture = np.random.default_rng(1).integers(0, 256, (1, 32, 32, 3), dtype=np.uint8)
    whole = answer_of(graph, picture)
    for layer in graph.layers:
        head, tail = split(graph, cut=layer.name)
        made = tail(head({"picture": picture}))
        assert np.array_equal(made[graph.outputs[0]], whole), layer.name
    head, _ = split(graph, cut="picture")
    assert head({"picture": picture})["picture"].dtype == np.uint8


def test_weights_files_and_names_know_nothing_of_the_stage(tmp_path: Path) -> None:
    torch.save(bare().state_dict(), tmp_path / "w.pth")
    graph = load_model(f"{HOME}:bare", tmp_path / "w.pth", trust_model=True, preprocess=Preprocess(size=(32, 32)))
    assert "stem.0.weight" in graph.layer["stem.0"].parameters


@pytest.mark.parametrize(
    "change",
    [
        {"scale": 1.0},
        {"mean": (0.5, 0.5, 0.5)},
        {"std": (0.5, 0.5, 0.25)},
        {"color": "bgr"},
        {"size": (32, 40)},
    ],
)
def test_both_sides_must_agree_on_it(change: dict[str, object]) -> None:
    plain = load("bare", Preprocess(size=(32, 32)))
    assert plain.fingerprint == load("bare", Preprocess(size=(32, 32))).fingerprint
    settings: dict[str, object] = {"size": (32, 32), **change}
    assert plain.fingerprint != load("bare", Preprocess(**settings)).fingerprint  # type: ignore[arg-type]


def test_the_size_is_the_example_s_unless_said() -> None:
    assert load("bare_with_example", Preprocess("letterbox")).picture == Picture("picture", 64, 48, "letterbox")
    assert load("bare_with_example", Preprocess(size=(40, 40))).picture == Picture("picture", 40, 40)
    assert load("bare", Preprocess()).picture == Picture("picture", 224, 224)


def test_a_module_s_own_input_keeps_its_name() -> None:
    graph = load("has_input", Preprocess(size=(32, 32)))
    assert [layer.name for layer in graph.layers][:3] == ["picture", "input_", "input"]


@pytest.fixture
def exported(tmp_path: Path) -> Callable[..., str]:
    def export(module: nn.Module, *, varying: bool = False) -> str:
        sides = {2: torch.export.Dim("height", min=8), 3: torch.export.Dim("width", min=8)}
        program = torch.export.export(
            module, (torch.zeros(1, 3, 128, 128),), dynamic_shapes=(sides,) if varying else None
        )
        torch.export.save(program, tmp_path / "model.pt2")
        return str(tmp_path / "model.pt2")

    return export


def test_an_exported_program_keeps_its_names_and_answers(exported: Callable[..., str]) -> None:
    torch.manual_seed(0)
    module = Bare().eval()
    graph = load_model(exported(module), trust_model=True, preprocess=Preprocess("letterbox"))
    assert [layer.name for layer in graph.layers] == ["picture", "input", "stem.0", "mean", "fc"]
    assert graph.picture == Picture("picture", 128, 128, "letterbox")
    picture = np.random.default_rng(2).integers(0, 256, (1, 128, 128, 3), dtype=np.uint8)
    with torch.inference_mode():
        expected = module(torch.from_numpy(picture).permute(0, 3, 1, 2).float() / 255).numpy()
    assert np.allclose(answer_of(graph, picture), expected, atol=1e-5)


def test_an_exported_program_of_a_fixed_size_takes_no_other(exported: Callable[..., str]) -> None:
    ref = exported(Bare().eval())
    with pytest.raises(ModelError, match="size is 64 x 64, the model reads 128 x 128"):
        load_model(ref, trust_model=True, preprocess=Preprocess(size=(64, 64)))


def test_an_exported_program_of_varying_size_takes_what_is_said(exported: Callable[..., str]) -> None:
    ref = exported(Bare().eval(), varying=True)
    graph = load_model(ref, trust_model=True, preprocess=Preprocess(size=(64, 32)))
    assert graph.picture == Picture("picture", 64, 32)
    assert answer_of(graph, np.zeros((1, 64, 32, 3), np.uint8)).shape == (1, 4)
    assert load_model(ref, trust_model=True, preprocess=Preprocess()).picture == Picture("picture", 128, 128)


def test_a_detector_suppresses_in_its_last_layer(exported: Callable[..., str]) -> None:
    for graph in (
        load("like_yolov8", Preprocess(size=(128, 128)), DETECT, "tests.edge.detectors"),
        load("like_yolov5", Preprocess(), DETECT, "tests.edge.detectors"),
        load_model(exported(like_yolov8()), trust_model=True, preprocess=Preprocess(), postprocess=DETECT),
    ):
        assert graph.layers[-1].name == "detections"
        assert graph.outputs == ("detections",)
        assert graph.postprocess == Postprocess("detect", 0.5, 0.5, suppressed=True)
        picture = np.zeros((1, 128, 128, 3), np.uint8)
        picture[0, 32:48, 64:80, 1] = 255
        (rows,) = answer_of(graph, picture)
        assert rows[0].tolist() == [64, 32, 80, 48, 1, 1]
        assert not rows[1:].any()


def test_a_real_network_as_a_user_brings_it_gets_18_of_20() -> None:
    does = Preprocess(scale=1 / 128, mean=(127 / 128,) * 3)
    graph = load("lite0", does, Postprocess("classify"))
    assert graph.picture is not None
    engine = make_engine(graph, device="cpu", threads=1)
    whole = engine.part(graph.inputs, graph.outputs)
    right = 0
    for path in IMAGENET:
        found = classify(whole({"picture": fit(read_picture(path), graph.picture)}), None)
        assert found is not None
        assert 0 < found.confidence <= 1
        right += found.class_index == int(path.stem.rpartition("_")[2])
    assert right == 18


@pytest.mark.parametrize(
    ("name", "preprocess", "postprocess", "message"),
    [
        ("reads_pictures", Preprocess(), None, "reads pictures already"),
        ("two_inputs", Preprocess(), None, "has 2 inputs"),
        ("two_inputs", None, DETECT, "has 2 inputs"),
        ("bare", None, DETECT, "say with preprocess how a picture becomes its input"),
        ("bare", Preprocess(size=(32, 32)), DETECT, r"task detect needs an output .* the model makes \[1, 4\]"),
        ("bare_with_example", Preprocess(layout="nhwc"), None, r"needs an input \[N, H, W, 3\], the model reads"),
        ("bare", Preprocess(size=(1, 1)), None, "tried with a picture of 1 x 1"),
    ],
)
def test_what_does_not_fit_is_one_line(
    name: str, preprocess: Preprocess | None, postprocess: Postprocess | None, message: str
) -> None:
    with pytest.raises(ModelError, match=message) as caught:
        load(name, preprocess, postprocess)
    assert "\n" not in str(caught.value)


def test_networks_of_the_zoo_say_themselves_how_they_read_pictures() -> None:
    with pytest.raises(ModelError, match="resnet18 says itself how it reads pictures"):
        load_model("resnet18", preprocess=Preprocess())
    with pytest.raises(ModelError, match=r"task detect needs an output .*, tiny_yolov2 makes \[1, 125, 9, 9\]"):
        load_model("tiny_yolov2", postprocess=DETECT)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"resize": "squeeze"}, "resize must be one of crop, stretch, letterbox, got 'squeeze'"),
        ({"color": "cmyk"}, "color must be one of"),
        ({"layout": "chwn"}, "layout must be one of"),
        ({"size": (0, 5)}, "size must be"),
        ({"scale": 0.0}, "scale must be positive"),
        ({"scale": float("nan")}, "scale must be positive"),
        ({"mean": (0.0, 0.0)}, "mean must be three numbers"),
        ({"std": (1.0, 0.0, 1.0)}, "std must be positive"),
    ],
)
def test_records_are_checked_when_they_are_made(settings: dict[str, object], message: str) -> None:
    with pytest.raises(ModelError, match=message):
        Preprocess(**settings)  # type: ignore[arg-type]


@pytest.mark.parametrize("settings", [{"task": "segment"}, {"confidence": 0.0}, {"iou": 1.5}])
def test_so_is_what_comes_after(settings: dict[str, object]) -> None:
    with pytest.raises(ModelError, match=f"postprocess: {next(iter(settings))} must be"):
        Postprocess(**settings)  # type: ignore[arg-type]
