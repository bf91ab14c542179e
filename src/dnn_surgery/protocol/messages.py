"""Requests and replies to bytes and back, for both sides; between them lie only the records of the data plane.

A tensor is copied once on the way into a message and not at all on the way out.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from dnn_surgery.errors import CodecError, TensorError
from dnn_surgery.protocol.dataplane import Array, InferRequest, InferResult, WireTensor
from dnn_surgery.protocol.datatypes import array_dtype, to_datatype, to_dtype
from dnn_surgery.protocol.methods import parse
from dnn_surgery.protocol.stubs import open_inference_pb2 as oip
from dnn_surgery.protocol.wire import REPLY_RAW_FIELD, REQUEST_RAW_FIELD, join, split

CODEC, FINGERPRINT = "codec", "fingerprint"
# What numpy held before its version 2; checked before anything is multiplied.
MAX_RANK = 32

# No cut of a real network sends a tenth of it; each costs the server an object before anything is checked.
MAX_TENSORS = 1024

QUEUE, COMPUTE, LOAD, SLOWDOWN, CLIENTS, QUEUED = "queue_s", "compute_s", "load", "slowdown", "clients", "queued"

Parameters = Mapping[str, oip.InferParameter]
TensorMessage = oip.ModelInferRequest.InferInputTensor | oip.ModelInferResponse.InferOutputTensor

# The field of InferTensorContents that holds a datatype's elements; FP16 and BF16 travel as raw bytes only.
_CONTENTS = {
    "bool": "bool_contents",
    "int8": "int_contents",
    "int16": "int_contents",
    "int32": "int_contents",
    "int64": "int64_contents",
    "uint8": "uint_contents",
    "uint16": "uint_contents",
    "uint32": "uint_contents",
    "uint64": "uint64_contents",
    "float32": "fp32_contents",
    "float64": "fp64_contents",
}


def encode_request(request: InferRequest) -> bytes:
    """The request as a ModelInferRequest.

    Raises:
        TensorError: a tensor has a datatype that the protocol does not know.
    """
    message = oip.ModelInferRequest(
        model_name=request.model_name, model_version=request.model_version, id=request.request_id
    )
    if request.fingerprint is not None:
        message.parameters[FINGERPRINT].string_param = request.fingerprint
    for tensor in request.inputs:
        _describe(message.inputs.add(), tensor)
    for name in request.outputs:
        message.outputs.add(name=name)
    return join(message.SerializeToString(), REQUEST_RAW_FIELD, [_contiguous(tensor) for tensor in request.inputs])


def decode_request(data: bytes) -> InferRequest:
    """The request in a serialised ModelInferRequest; arrays are read-only views into `data`.

    Raises:
        TensorError: it is malformed, or a tensor's bytes are not what its shape and datatype say.
        CodecError: a codec is named by something else than a string.
    """
    parts = split(data, REQUEST_RAW_FIELD)
    message = parse(oip.ModelInferRequest, parts.rest)
    for kind, count in (("inputs", len(message.inputs)), ("outputs", len(message.outputs))):
        if count > MAX_TENSORS:
            raise TensorError(f"the request names {count} {kind}, expected at most {MAX_TENSORS}")
    return InferRequest(
        model_name=message.model_name,
        model_version=message.model_version,
        request_id=message.id,
        fingerprint=_string(message.parameters, FINGERPRINT),
        inputs=_tensors(message.inputs, parts.raw),
        outputs=tuple(output.name for output in message.outputs),
    )


def encode_reply(request: InferRequest, result: InferResult) -> bytes:
    """The answer to `request` as a ModelInferResponse, with what it took and how busy the server is as parameters."""
    message = oip.ModelInferResponse(
        model_name=request.model_name, model_version=request.model_version or "1", id=request.request_id
    )
    parameters = message.parameters
    parameters[QUEUE].double_param, parameters[COMPUTE].double_param = result.queue_s, result.compute_s
    parameters[LOAD].double_param, parameters[SLOWDOWN].double_param = result.load, result.slowdown
    parameters[CLIENTS].int64_param, parameters[QUEUED].int64_param = result.clients, result.queued
    for tensor in result.outputs:
        _describe(message.outputs.add(), tensor)
    return join(message.SerializeToString(), REPLY_RAW_FIELD, [_contiguous(tensor) for tensor in result.outputs])


def decode_reply(data: bytes) -> InferResult:
    """The answer in a serialised ModelInferResponse. Another make of server says nothing of its times: 0, 0 and 1.

    Raises:
        TensorError: it is malformed, or a tensor's bytes are not what its shape and datatype say.
    """
    parts = split(data, REPLY_RAW_FIELD)
    message = parse(oip.ModelInferResponse, parts.rest)
    return InferResult(
        outputs=_tensors(message.outputs, parts.raw),
        queue_s=_number(message.parameters, QUEUE, 0.0),
        compute_s=_number(message.parameters, COMPUTE, 0.0),
        load=_number(message.parameters, LOAD, 1.0),
        slowdown=_number(message.parameters, SLOWDOWN, 1.0),
        clients=_count(message.parameters, CLIENTS, 1),
        queued=_count(message.parameters, QUEUED, 0),
    )


def wire_tensor(name: str, array: Array) -> WireTensor:
    """An array under a name, in its own datatype (arrays of a bfloat16 type from elsewhere are taken as bits)."""
    dtype = array.dtype.name
    return WireTensor(name=name, dtype=dtype, array=array.view(np.uint16) if dtype == "bfloat16" else array)


def encoded_tensor(name: str, payload: bytes | bytearray | memoryview, codec: str) -> WireTensor:
    """A payload that a codec wrote, as UINT8 [n]."""
    return WireTensor(name=name, dtype="uint8", array=np.frombuffer(payload, dtype=np.uint8), codec=codec)


def _describe(message: TensorMessage, tensor: WireTensor) -> None:
    message.name = tensor.name
    message.datatype = to_datatype(tensor.dtype, tensor.name)
    message.shape.extend(tensor.array.shape)
    if tensor.codec is not None:
        message.parameters[CODEC].string_param = tensor.codec


def _contiguous(tensor: WireTensor) -> memoryview:
    # No copy where the array is little-endian and in C order already; that a scalar becomes 1-d changes no byte.
    return np.ascontiguousarray(tensor.array, dtype=array_dtype(tensor.dtype)).data


def _tensors(messages: Sequence[TensorMessage], raw: Sequence[memoryview]) -> tuple[WireTensor, ...]:
    if raw and len(raw) != len(messages):
        raise TensorError(f"{len(raw)} raw contents for {len(messages)} tensors: expected one for each, in order")
    return tuple(_tensor(message, raw[index] if raw else None) for index, message in enumerate(messages))


def _tensor(message: TensorMessage, raw: memoryview | None) -> WireTensor:
    name, shape = message.name, tuple(message.shape)
    dtype = to_dtype(message.datatype, name)
    if len(shape) > MAX_RANK:
        raise TensorError(f"tensor {name!r} has {len(shape)} dimensions, expected at most {MAX_RANK}")
    if any(size < 0 for size in shape):
        raise TensorError(f"tensor {name!r} has shape {list(shape)}: a size cannot be negative")
    if raw is None:
        array = _typed_contents(message, dtype)
    elif message.HasField("contents"):
        raise TensorError(f"tensor {name!r} has contents and raw contents: expected one of the two")
    else:
        array = _raw_contents(name, raw, dtype, shape)
    if array.size != math.prod(shape):
        raise TensorError(
            f"tensor {name!r} carries {array.size} elements, expected {math.prod(shape)} for {list(shape)}"
        )
    try:
        array = array.reshape(shape)
    except ValueError as error:
        # No elements, and other sizes beyond what an array can have.
        raise TensorError(f"tensor {name!r} has shape {list(shape)}: no array can have it") from error
    return WireTensor(name, dtype, array, _string(message.parameters, CODEC, tensor=name))


def _raw_contents(name: str, raw: memoryview, dtype: str, shape: tuple[int, ...]) -> Array:
    kind = array_dtype(dtype)
    expected_bytes = math.prod(shape) * kind.itemsize
    if len(raw) != expected_bytes:
        raise TensorError(
            f"tensor {name!r} carries {len(raw)} bytes, expected {expected_bytes} for {dtype} {list(shape)}"
        )
    array = np.frombuffer(raw, dtype=kind)
    # Any other byte would be a bool that is neither true nor false, which engines do not expect.
    if dtype == "bool" and array.size and int(array.view(np.uint8).max()) > 1:
        raise TensorError(f"tensor {name!r} of datatype bool carries bytes other than 0 and 1")
    return array


def _typed_contents(message: TensorMessage, dtype: str) -> Array:
    name = message.name
    if dtype not in _CONTENTS:
        raise TensorError(f"tensor {name!r} of datatype {dtype} must be sent as raw contents")
    elements: Iterable[int | float | bool] = getattr(message.contents, _CONTENTS[dtype])
    try:
        return np.array(elements, dtype=array_dtype(dtype))
    except OverflowError as error:
        raise TensorError(f"tensor {name!r} has elements beyond the range of {dtype}") from error


def _string(parameters: Parameters, key: str, *, tensor: str | None = None) -> str | None:
    if key not in parameters:
        return None
    parameter = parameters[key]
    if parameter.WhichOneof("parameter_choice") != "string_param":
        where = f" of tensor {tensor!r}" if tensor is not None else ""
        raise (CodecError if key == CODEC else TensorError)(f"parameter {key!r}{where} is no string")
    return parameter.string_param


def _number(parameters: Parameters, key: str, default: float) -> float:
    return parameters[key].double_param if key in parameters else default


def _count(parameters: Parameters, key: str, default: int) -> int:
    return parameters[key].int64_param if key in parameters else default
