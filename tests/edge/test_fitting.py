"""Frames into inputs, and boxes back to where they are in the frame."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from dnn_surgery.edge.fitting import LETTERBOX_GREY, placement
from dnn_surgery.edge.pictures import fit, read_picture
from dnn_surgery.errors import SourceError
from dnn_surgery.model.graph import Picture
from tests.evaluation.pictures import IMAGENET


def test_a_letterbox_holds_the_whole_frame_between_grey() -> None:
    pixels = np.full((50, 200, 3), 7, np.uint8)
    fitted = fit(pixels, Picture("x", 100, 100, "letterbox"))[0]
    # 200 x 50 becomes 100 x 25: 37 rows above, 38 below.
    assert (fitted[37:62] == 7).all()
    assert (fitted[:37] == LETTERBOX_GREY).all()
    assert (fitted[62:] == LETTERBOX_GREY).all()
    assert fitted.flags.c_contiguous


@pytest.mark.parametrize("path", IMAGENET[:2], ids=lambda path: path.stem)
def test_a_real_picture_in_a_letterbox_is_that_picture_resized(path: str) -> None:
    pixels = np.ascontiguousarray(read_picture(path)[100:400])  # type: ignore[arg-type]
    fitted = fit(pixels, Picture("x", 320, 256, "letterbox"))[0]
    expected = np.asarray(Image.fromarray(pixels).resize((256, 150), Image.Resampling.BICUBIC))
    assert np.array_equal(fitted[85:235], expected)


@pytest.mark.parametrize("fit_by", ["letterbox", "stretch", "crop"])
@pytest.mark.parametrize(("width", "height"), [(320, 240), (240, 320), (128, 128), (1000, 130), (97, 411)])
def test_what_is_seen_at_a_place_of_the_input_is_found_there_in_the_frame(fit_by: str, width: int, height: int) -> None:
    picture = Picture("x", 160, 96, fit_by)
    left, top = width // 2 - 20, height // 2 - 24
    pixels = np.zeros((height, width, 3), np.uint8)
    pixels[top : top + 48, left : left + 40] = 255
    seen = fit(pixels, picture)[0, :, :, 0].astype(int)
    where = placement(width, height, picture)
    across, down = where.place[0], where.place[1]
    inner = seen[down : where.place[3], across : where.place[2]] > 127
    rows, columns = np.flatnonzero(inner.any(axis=1)), np.flatnonzero(inner.any(axis=0))
    box = [across + columns[0], down + rows[0], across + columns[-1] + 1, down + rows[-1] + 1]
    found = where.to_frame(np.array([box], dtype=np.float64))[0]
    # As exact as a pixel of the input is large.
    pixel = (
        max((where.shown[2] - where.shown[0]) / (where.place[2] - across), 1),
        max((where.shown[3] - where.shown[1]) / (where.place[3] - down), 1),
    )
    if fit_by != "crop" or (left > where.shown[0] and top > where.shown[1]):
        assert np.abs(found - [left, top, left + 40, top + 48]).max() <= max(pixel)
    else:
        assert (found[:2] >= where.shown[:2]).all()


def test_boxes_end_where_the_frame_does() -> None:
    where = placement(200, 100, Picture("x", 100, 100, "letterbox"))
    assert where.to_frame(np.array([[-10.0, 0, 120, 100], [50, 50, 100, 75]])).tolist() == [
        [0, 0, 200, 100],
        [100, 50, 200, 100],
    ]


@pytest.mark.parametrize("shape", [(1, 20_000), (20_000, 1), (1, 1)])
def test_a_sliver_keeps_a_pixel(shape: tuple[int, int]) -> None:
    pixels = np.full((*shape, 3), 3, np.uint8)
    fitted = fit(pixels, Picture("x", 64, 64, "letterbox"))
    assert fitted.shape == (1, 64, 64, 3)
    assert (fitted == 3).any()


def test_a_fit_that_there_is_not() -> None:
    with pytest.raises(SourceError, match="cannot fit a frame by 'squeeze'"):
        placement(10, 10, Picture("x", 8, 8, "squeeze"))
