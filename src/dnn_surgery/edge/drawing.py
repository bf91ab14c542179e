"""What was found, drawn into the frame: boxes with labels, or a label in the corner."""

from __future__ import annotations

import colorsys
import math

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from dnn_surgery.edge.answer import Answer
from dnn_surgery.edge.pictures import Pixels
from dnn_surgery.edge.result import Classification

Color = tuple[int, int, int]

_GOLDEN_RATIO = (math.sqrt(5) - 1) / 2


def annotate(pixels: Pixels, found: Answer | None) -> Pixels:
    """A copy of the frame, uint8 [H, W, 3], with the answer drawn into it; boxes are in the frame's own pixels."""
    if not found:
        return np.array(pixels)
    image = Image.fromarray(np.ascontiguousarray(pixels))
    pen = _Pen(image)
    if isinstance(found, Classification):
        pen.label(f"{found.label} {100 * found.confidence:.0f} %", 0, 0, color_of(found.class_index))
    else:
        for one in reversed(found):  # the surest last, on top
            pen.box(one.box, color_of(one.class_index))
        for one in reversed(found):
            left, top, _, _ = one.box
            pen.label(f"{one.label} {100 * one.confidence:.0f} %", left, top, color_of(one.class_index), above=True)
    drawn: Pixels = np.array(image)
    return drawn


def color_of(class_index: int) -> Color:
    """A bright colour for a class, far from those of its neighbours."""
    red, green, blue = colorsys.hsv_to_rgb(class_index * _GOLDEN_RATIO % 1, 0.85, 1.0)
    return round(255 * red), round(255 * green), round(255 * blue)


def _font(size_px: float) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    try:
        return ImageFont.truetype("DejaVuSans.ttf", size_px)
    except OSError:
        return ImageFont.load_default(size_px)  # always there, but without accents


class _Pen:
    """Draws in sizes that suit the frame."""

    def __init__(self, image: Image.Image) -> None:
        self._draw, self._width_px, self._height_px = ImageDraw.Draw(image), image.width, image.height
        self._line_px = max(2, round(min(image.size) / 200))
        self._font = _font(max(11, min(image.size) / 28))

    def box(self, box: tuple[float, float, float, float], color: Color) -> None:
        left, top, right, bottom = box
        # Pillow refuses corners in the wrong order, which boxes cut to nothing at the frame's edge may have.
        corners = (left, top, max(left, right), max(top, bottom))
        self._draw.rectangle(corners, outline=color, width=self._line_px)

    def label(self, text: str, left: float, top: float, color: Color, *, above: bool = False) -> None:
        """The text on a ground of the colour, inside the frame whatever the place."""
        pad_px = self._line_px
        _, _, width_px, height_px = self._draw.textbbox((0, 0), text, font=self._font)
        width_px, height_px = width_px + 2 * pad_px, height_px + 2 * pad_px
        top = top - height_px if above and top >= height_px else top
        left = max(0, min(left, self._width_px - width_px))
        top = max(0, min(top, self._height_px - height_px))
        self._draw.rectangle((left, top, left + width_px, top + height_px), fill=color)
        red, green, blue = color
        dark = 0.299 * red + 0.587 * green + 0.114 * blue < 128
        self._draw.text((left + pad_px, top + pad_px), text, fill="white" if dark else "black", font=self._font)
