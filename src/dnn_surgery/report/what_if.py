"""The what-if page: the frontier inside one HTML file, and sliders that move the cut in the browser. No server."""

from __future__ import annotations

import base64
import html
import json
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

from dnn_surgery.codecs import get
from dnn_surgery.errors import CodecError, InputError
from dnn_surgery.planning import Link, Problem
from dnn_surgery.report.options import KINDS, Options

SCHEMA = "dnn-surgery/what-if/1"


@dataclass(frozen=True, slots=True)
class Picture:
    """A PNG for the page, with a title and a sentence under it."""

    path: Path
    title: str
    caption: str


def what_if(problem: Problem, options: Options, link: Link) -> dict[str, Any]:
    """What the page computes with: plain data, a few kB."""
    number = {name: index for index, name in enumerate(options.layers)}
    costs = {layer.name: layer for layer in problem.layers}
    return {
        "schema": SCHEMA,
        "name": options.name,
        "layers": [
            {
                "name": name,
                "edge_s": costs[name].edge_s,
                "cloud_s": costs[name].cloud_s,
                "bytes": sum(tensor.size_bytes for tensor in costs[name].outputs),
            }
            for name in options.layers
        ],
        "rows": [
            {
                "title": title,
                "kind": KINDS[kind],
                "exact": _is_exact(sent.codec for sent in plan.sent),
                "columns": [_figure(value) for value in columns],
                "edge": _mask(plan.edge, number),
                "sent": [[sent.tensor, sent.bytes, sent.codec] for sent in plan.sent],
            }
            for title, kind, plan, *columns in zip(
                options.titles,
                options.kind.tolist(),
                options.plans,
                options.edge_s.tolist(),
                options.up_bytes.tolist(),
                options.cloud_s.tolist(),
                options.sent.tolist(),
                strict=True,
            )
        ],
        "link": {"bandwidth_bps": link.bandwidth_bps, "rtt_s": link.rtt_s},
    }


def page(record: dict[str, Any], pictures: Sequence[Picture]) -> str:
    """The HTML file: style, script, data and pictures are all inside it."""
    parts = files("dnn_surgery.report") / "page"
    # A name such as "</script>" must not end the script.
    data = json.dumps(record).replace("<", "\\u003c")
    template = (parts / "page.html").read_text(encoding="utf-8")
    for mark, text in {
        "title": html.escape(str(record["name"])),
        "style": (parts / "page.css").read_text(encoding="utf-8"),
        "pictures": "\n".join(map(_picture, pictures)),
        "script": (parts / "page.js").read_text(encoding="utf-8"),
        "data": data,
    }.items():
        template = template.replace(f"{{{{ {mark} }}}}", text)
    return template


def write_page(path: Path, record: dict[str, Any], pictures: Sequence[Picture]) -> Path:
    """Writes the page.

    Raises:
        InputError: the file cannot be written.
    """
    try:
        path.write_text(page(record, pictures), encoding="utf-8")
    except OSError as error:
        raise InputError(f"cannot write {path}: {error.strerror}") from error
    return path


def _picture(picture: Picture) -> str:
    data = base64.b64encode(picture.path.read_bytes()).decode()
    title = html.escape(picture.title)
    return (
        f'<figure><h3>{title}</h3><img alt="{title}" src="data:image/png;base64,{data}">'
        f"<figcaption>{html.escape(picture.caption)}</figcaption></figure>"
    )


def _is_exact(codecs: Any) -> bool:
    """Whether no bit is lost. Problem files may name codecs that are not ours: those are taken at their word."""
    for name in codecs:
        try:
            if not get(name).lossless:
                return False
        except CodecError:
            if name.startswith(("jpeg", "webp")):
                return False
    return True


def _mask(edge: Sequence[str], number: dict[str, int]) -> str:
    """The layers at the edge as hexadecimal bits, the first layer highest in the first digit."""
    digits = [0] * (-(-len(number) // 4))
    for name in edge:
        digits[number[name] // 4] |= 8 >> (number[name] % 4)
    return "".join(f"{digit:x}" for digit in digits)


def _figure(value: float) -> float:
    """Seven digits: more would make the file larger than what was measured is worth."""
    return float(f"{value:.7g}")
