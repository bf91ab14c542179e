"""What a model costs on one device: the record and its JSON file. Plain data; reading it needs no engine."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from dnn_surgery.errors import ProfileError
from dnn_surgery.profiling.codec_cost import CodecMeasure
from dnn_surgery.profiling.processors import OtherWork

SCHEMA = "dnn-surgery/profile/1"


@dataclass(frozen=True, slots=True)
class TensorSize:
    """A tensor that a layer makes, its raw size, and the median seconds of its way out of the engine and into it.

    `leave_s`: from the engine's own form to an array; `enter_s`: from an array, as it lies in a message, to that form.
    """

    name: str
    bytes: int
    leave_s: float = 0.0
    enter_s: float = 0.0


@dataclass(frozen=True, slots=True)
class LayerCost:
    """One layer on this device: median seconds, scaled so that all layers and `Profile.call_s` add up to its `whole_s`.

    `spread_s` is the distance between the quartiles of the measurement, scaled likewise.
    """

    name: str
    inputs: tuple[str, ...]
    outputs: tuple[TensorSize, ...]
    seconds: float
    spread_s: float
    param_bytes: int


@dataclass(frozen=True, slots=True)
class MeasuredCut:
    """A cut as run on this device, arrays in and arrays out.

    `head_s` and `tail_s` are median seconds of the layers `edge`, and of all others.
    """

    edge: tuple[str, ...]
    head_s: float
    tail_s: float


@dataclass(frozen=True)
class Profile:
    """What the model with this `fingerprint` costs on one device. `whole_s` is the median of the unsplit model.

    `call_s` is what it costs to call a part, however small it is: it is in `whole_s` and in no layer's seconds.
    `measured` are cuts that were run whole beside the layers.
    `codecs` is what was measured of codecs on real frames (:mod:`measure_codecs`), often nothing.
    `device` (name, kind), `engine` (name, version, threads, and the processors it was pinned to) and `versions` say
    where the figures come from. `busy`: what else the machine did meanwhile, where that was too much.
    """

    model: str
    fingerprint: str
    layers: tuple[LayerCost, ...]
    outputs: tuple[str, ...]
    whole_s: float
    whole_spread_s: float
    repeats: int
    warmup: int
    call_s: float = 0.0
    measured: tuple[MeasuredCut, ...] = ()
    device: dict[str, str] = field(default_factory=dict)
    engine: dict[str, Any] = field(default_factory=dict)
    versions: dict[str, str] = field(default_factory=dict)
    codecs: tuple[CodecMeasure, ...] = ()
    busy: OtherWork | None = None

    def to_json(self) -> str:
        """The profile as a JSON document that begins with its schema."""
        document = {"schema": SCHEMA, **asdict(self)}
        for key in ("codecs", "busy"):
            if not document[key]:
                del document[key]  # so that a reader that does not know the key reads all other profiles
        return json.dumps(document, indent=1)

    def save(self, path: str | Path) -> None:
        """Writes the JSON document to `path`."""
        try:
            Path(path).write_text(self.to_json() + "\n", encoding="utf-8")
        except OSError as error:
            raise ProfileError(f"cannot write profile {path}: {error.strerror}") from error

    @classmethod
    def load(cls, path: str | Path) -> Profile:
        """Reads a file that :meth:`save` wrote.

        Raises:
            ProfileError: the file cannot be read or is no profile.
        """
        try:
            text = Path(path).read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise ProfileError(f"cannot read profile {path}: {error}") from error
        return cls.from_json(text, where=str(path))

    @classmethod
    def from_json(cls, text: str, where: str = "profile") -> Profile:
        """The profile in a JSON document.

        Raises:
            ProfileError: naming the place that is wrong.
        """
        try:
            document = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise ProfileError(f"{where}: not JSON: {error}") from error
        if not isinstance(document, dict):
            raise ProfileError(f"{where}: expected an object, got {type(document).__name__}")
        schema = document.pop("schema", SCHEMA)
        if schema != SCHEMA:
            raise ProfileError(f"{where}: schema is {schema!r}, expected {SCHEMA!r}")
        return _record(document, where)


_Kind = type | tuple[type, ...]
_TENSOR: dict[str, _Kind] = {"name": str, "bytes": int, "leave_s": (int, float), "enter_s": (int, float)}
_LAYER: dict[str, _Kind] = {
    "name": str,
    "inputs": list,
    "outputs": list,
    "seconds": (int, float),
    "spread_s": (int, float),
    "param_bytes": int,
}
_CUT: dict[str, _Kind] = {"edge": list, "head_s": (int, float), "tail_s": (int, float)}
_CODEC: dict[str, _Kind] = {
    "tensor": str,
    "codec": str,
    "lossless": bool,
    "frames": int,
    "mean_bytes": (int, float),
    "p95_bytes": (int, float),
    "encode_s": (int, float),
    "decode_s": (int, float),
}
_BUSY: dict[str, _Kind] = dict.fromkeys(("others_share", "steal_share", "preemptions_hz"), (int, float))
_PROFILE: dict[str, _Kind] = {
    "model": str,
    "fingerprint": str,
    "layers": list,
    "outputs": list,
    "whole_s": (int, float),
    "whole_spread_s": (int, float),
    "repeats": int,
    "warmup": int,
    "call_s": (int, float),
    "measured": list,
    "device": dict,
    "engine": dict,
    "versions": dict,
    "codecs": list,
    "busy": dict,
}
_OPTIONAL = {"device", "engine", "versions", "call_s", "measured", "leave_s", "enter_s", "codecs", "busy"}


def _record(document: Any, where: str) -> Profile:
    _check(document, _PROFILE, where)
    layers = tuple(_layer(layer, f"{where}: layers[{index}]") for index, layer in enumerate(document["layers"]))
    cuts = enumerate(document.get("measured", ()))
    codecs = enumerate(document.get("codecs", ()))
    return Profile(
        **{
            **document,
            "layers": layers,
            "outputs": _names(document["outputs"], f"{where}: outputs"),
            "measured": tuple(_cut(cut, f"{where}: measured[{index}]") for index, cut in cuts),
            "codecs": tuple(_codec(measure, f"{where}: codecs[{index}]") for index, measure in codecs),
            "busy": _busy(document["busy"], f"{where}: busy") if "busy" in document else None,
        }
    )


def _cut(record: Any, where: str) -> MeasuredCut:
    _check(record, _CUT, where)
    return MeasuredCut(**{**record, "edge": _names(record["edge"], f"{where}.edge")})


def _busy(record: Any, where: str) -> OtherWork:
    _check(record, _BUSY, where)
    return OtherWork(**record)


def _codec(record: Any, where: str) -> CodecMeasure:
    _check(record, _CODEC, where)
    return CodecMeasure(**record)


def _layer(record: Any, where: str) -> LayerCost:
    _check(record, _LAYER, where)
    outputs = []
    for index, tensor in enumerate(record["outputs"]):
        _check(tensor, _TENSOR, f"{where}.outputs[{index}]")
        outputs.append(TensorSize(**tensor))
    return LayerCost(**{**record, "inputs": _names(record["inputs"], f"{where}.inputs"), "outputs": tuple(outputs)})


def _check(record: Any, keys: Mapping[str, _Kind], where: str) -> None:
    """Every key is there and of its kind, nothing else is; numbers are finite and not negative."""
    if not isinstance(record, dict):
        raise ProfileError(f"{where}: expected an object, got {type(record).__name__}")
    for key in record:
        if key not in keys:
            raise ProfileError(f"{where}: unknown key {key!r}")
    for key, kind in keys.items():
        if key not in record:
            if key in _OPTIONAL:
                continue
            raise ProfileError(f"{where}: key {key!r} is missing")
        value = record[key]
        if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
            raise ProfileError(f"{where}: {key} cannot be {value!r:.60}")
        if isinstance(value, (int, float)) and not 0 <= value < math.inf:
            raise ProfileError(f"{where}: {key} must be finite and not negative, got {value}")


def _names(values: list[Any], where: str) -> tuple[str, ...]:
    if not all(isinstance(value, str) for value in values):
        raise ProfileError(f"{where}: expected names, got {values!r:.60}")
    return tuple(values)
