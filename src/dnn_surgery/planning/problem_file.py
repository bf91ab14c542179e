"""The problem file: JSON to `Problem` and back. Every message names the place, as in ``layers[2] ('conv1').edge_s``."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, Literal

from dnn_surgery.errors import ProblemError
from dnn_surgery.model.graph import near
from dnn_surgery.planning.problem import CodecCost, Forbidden, Measured, Problem, ProblemLayer, Side, TensorCost

SCHEMA = "dnn-surgery/problem/1"

_TOP = ("schema", "name", "layers", "outputs", "measured", "forbidden")
_LAYER = (
    *("name", "inputs", "edge_s", "cloud_s", "tier_s", "output_bytes", "codecs", "outputs"),
    *("pin", "send", "param_bytes"),
)
_TENSOR = ("name", "bytes", "codecs", "send")
_CODEC = ("name", "bytes", "encode_s", "decode_s")
_MEASURED = ("edge", "edge_s", "cloud_s")
_FORBIDDEN = ("edge", "codecs")


def parse(text: str, where: str) -> Problem:
    """The problem in `text`; `where` names the source in messages.

    Raises:
        ProblemError: naming the place that is wrong.
    """
    try:
        document = json.loads(text, object_pairs_hook=_unique)
    except (ValueError, RecursionError) as error:
        reason = "it is nested too deeply" if isinstance(error, RecursionError) else error
        raise ProblemError(f"{where}: not JSON: {reason}") from error
    try:
        return _problem(_object(document, "the document", _TOP))
    except ProblemError as error:
        raise ProblemError(f"{where}: {error}") from None


def render(problem: Problem) -> str:
    """The JSON document of `problem`, in the short forms where they say everything."""
    document: dict[str, Any] = {
        "schema": SCHEMA,
        "name": problem.name,
        "outputs": list(problem.outputs),
        "layers": [_layer_record(layer) for layer in problem.layers],
    }
    if problem.measured:
        document["measured"] = [
            {"edge": list(row.edge), "edge_s": row.edge_s, "cloud_s": row.cloud_s} for row in problem.measured
        ]
    if problem.forbidden:
        document["forbidden"] = [{"edge": list(ban.edge), "codecs": dict(ban.codecs)} for ban in problem.forbidden]
    return json.dumps(document, indent=1)


def _problem(document: dict[str, Any]) -> Problem:
    if document.get("schema", SCHEMA) != SCHEMA:
        raise ProblemError(f"schema is {document['schema']!r}, expected {SCHEMA!r}")
    layers = tuple(_layer(record, f"layers[{i}]") for i, record in enumerate(_list(document, "layers", "the document")))
    if "outputs" in document:
        outputs = tuple(_names(document, "outputs", "the document"))
    else:
        read = {name for layer in layers for name in layer.inputs}
        outputs = tuple(tensor.name for layer in layers for tensor in layer.outputs if tensor.name not in read)
    rows = _list(document, "measured", "the document") if "measured" in document else []
    measured = tuple(_measured(record, f"measured[{i}]") for i, record in enumerate(rows))
    bans = _list(document, "forbidden", "the document") if "forbidden" in document else []
    forbidden = tuple(_forbidden(record, f"forbidden[{i}]") for i, record in enumerate(bans))
    name = _text(document, "name", "the document") if "name" in document else "unnamed"
    return Problem(name=name, layers=layers, outputs=outputs, measured=measured, forbidden=forbidden)


def _layer(record: object, place: str) -> ProblemLayer:
    if isinstance(record, dict) and isinstance(record.get("name"), str):
        place = f"{place} ({record['name']!r})"
    fields = _object(record, place, _LAYER)
    name = _text(fields, "name", place)
    if "tier_s" in fields:
        if both := [key for key in ("edge_s", "cloud_s") if key in fields]:
            raise ProblemError(f"{place} has tier_s and {both[0]}: tier_s stands instead of edge_s and cloud_s")
        tiers = [_number(value, f"{place}.tier_s[{i}]") for i, value in enumerate(_list(fields, "tier_s", place))]
        if len(tiers) < 2:
            raise ProblemError(f"{place}.tier_s needs at least 2 tiers, got {len(tiers)}")
    else:
        tiers = [_number(_get(fields, key, place), f"{place}.{key}") for key in ("edge_s", "cloud_s")]
    return ProblemLayer(
        name=name,
        inputs=tuple(_names(fields, "inputs", place)),
        outputs=_tensors(fields, name, place),
        edge_s=tiers[0],
        middle_s=tuple(tiers[1:-1]),
        cloud_s=tiers[-1],
        pin=_pin(fields, place),
        param_bytes=_number(fields.get("param_bytes", 0), f"{place}.param_bytes"),
    )


def _tensors(fields: dict[str, Any], name: str, place: str) -> tuple[TensorCost, ...]:
    send = _flag(fields, "send", place)
    if "outputs" not in fields:
        size = _number(_get(fields, "output_bytes", place), f"{place}.output_bytes")
        return (TensorCost(name, size, _codecs(fields, place), send),)
    for key in ("output_bytes", "codecs"):
        if key in fields:
            raise ProblemError(f"{place} has outputs and {key}: {key} is the short form for a single tensor")
    tensors = []
    for index, record in enumerate(_list(fields, "outputs", place)):
        inner = f"{place}.outputs[{index}]"
        tensor = _object(record, inner, _TENSOR)
        size = _number(_get(tensor, "bytes", inner), f"{inner}.bytes")
        may_leave = send and _flag(tensor, "send", inner)
        tensors.append(TensorCost(_text(tensor, "name", inner), size, _codecs(tensor, inner), may_leave))
    return tuple(tensors)


def _codecs(fields: dict[str, Any], place: str) -> tuple[CodecCost, ...]:
    if "codecs" not in fields:
        return ()
    codecs = []
    for index, record in enumerate(_list(fields, "codecs", place)):
        inner = f"{place}.codecs[{index}]"
        codec = _object(record, inner, _CODEC)
        size = _number(_get(codec, "bytes", inner), f"{inner}.bytes")
        times = [_number(codec.get(key, 0), f"{inner}.{key}") for key in ("encode_s", "decode_s")]
        codecs.append(CodecCost(_text(codec, "name", inner), size, *times))
    if not codecs:
        raise ProblemError(f'{place}.codecs is empty: leave it out for raw, or say "send": false')
    return tuple(codecs)


def _measured(record: object, place: str) -> Measured:
    fields = _object(record, place, _MEASURED)
    times = [_number(_get(fields, key, place), f"{place}.{key}") for key in ("edge_s", "cloud_s")]
    return Measured(tuple(_names(fields, "edge", place)), *times)


def _forbidden(record: object, place: str) -> Forbidden:
    fields = _object(record, place, _FORBIDDEN)
    codecs = _get(fields, "codecs", place)
    if not isinstance(codecs, dict) or not all(isinstance(name, str) for name in codecs.values()):
        raise ProblemError(f"{place}.codecs is not an object of tensors and the names of their codecs")
    return Forbidden(tuple(_names(fields, "edge", place)), tuple(codecs.items()))


def _layer_record(layer: ProblemLayer) -> dict[str, Any]:
    record: dict[str, Any] = {"name": layer.name, "inputs": list(layer.inputs)}
    if layer.middle_s:
        record["tier_s"] = list(layer.tier_s)
    else:
        record |= {"edge_s": layer.edge_s, "cloud_s": layer.cloud_s}
    tensors = [_tensor_record(tensor) for tensor in layer.outputs]
    if len(tensors) == 1 and layer.outputs[0].name == layer.name:
        record |= {"output_bytes" if key == "bytes" else key: tensors[0][key] for key in tensors[0] if key != "name"}
    else:
        record["outputs"] = tensors
    if layer.pin:
        record["pin"] = layer.pin
    if layer.param_bytes:
        record["param_bytes"] = layer.param_bytes
    return record


def _tensor_record(tensor: TensorCost) -> dict[str, Any]:
    record: dict[str, Any] = {"name": tensor.name, "bytes": tensor.size_bytes}
    if tensor.codecs:
        record["codecs"] = [
            {"name": way.name, "bytes": way.size_bytes, "encode_s": way.encode_s, "decode_s": way.decode_s}
            for way in tensor.codecs
        ]
    if not tensor.send:
        record["send"] = False
    return record


def _unique(pairs: list[tuple[str, object]]) -> dict[str, object]:
    record = dict(pairs)
    if len(record) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for index, name in enumerate(names) if name in names[:index])
        raise ValueError(f"the key {twice!a} stands twice in one object")
    return record


def _object(value: object, place: str, keys: Sequence[str]) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise ProblemError(f"{place} is {_kind(value)}, expected an object")
    for key in value:
        if key not in keys:
            raise ProblemError(f"{place} has an unknown key {key!a}{near(key, keys)}")
    return value


def _get(fields: dict[str, Any], key: str, place: str) -> object:
    if key not in fields:
        raise ProblemError(f"{place} has no {key!r}")
    return fields[key]


def _text(fields: dict[str, Any], key: str, place: str) -> str:
    value = _get(fields, key, place)
    if not isinstance(value, str):
        raise ProblemError(f"{place}.{key} is {_kind(value)}, expected a string")
    return value


def _list(fields: dict[str, Any], key: str, place: str) -> list[object]:
    value = _get(fields, key, place)
    if not isinstance(value, list):
        raise ProblemError(f"{place}.{key} is {_kind(value)}, expected a list")
    return value


def _names(fields: dict[str, Any], key: str, place: str) -> list[str]:
    names = []
    for index, value in enumerate(_list(fields, key, place)):
        if not isinstance(value, str):
            raise ProblemError(f"{place}.{key}[{index}] is {_kind(value)}, expected a string")
        names.append(value)
    return names


def _flag(fields: dict[str, Any], key: str, place: str) -> bool:
    value = fields.get(key, True)
    if not isinstance(value, bool):
        raise ProblemError(f"{place}.{key} is {_kind(value)}, expected true or false")
    return value


def _pin(fields: dict[str, Any], place: str) -> Side | None:
    value = fields.get("pin")
    sides: tuple[Literal["edge"], Literal["cloud"]] = ("edge", "cloud")
    for side in sides:
        if value == side:
            return side
    if value is not None:
        raise ProblemError(f"{place}.pin is {value!a}, expected 'edge' or 'cloud'")
    return None


def _number(value: object, place: str) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise ProblemError(f"{place} is {_kind(value)}, expected a number")
    try:
        number = float(value)
    except OverflowError:
        raise ProblemError(f"{place} is too large") from None
    if not 0 <= number < float("inf"):
        raise ProblemError(f"{place} is {number}, expected a finite number, 0 or more")
    return number


def _kind(value: object) -> str:
    kinds = {dict: "an object", list: "a list", str: "a string", bool: "true or false", type(None): "null"}
    return kinds.get(type(value), "a number")
