"""What is fuzzed: the bytes of a request, of a reply, or of one codec's payload, as they may come from anybody.

The first byte of an input chooses which; the rest is the message. Whatever it is, it becomes the arrays that were asked
for or one of the project's own errors.
"""

from __future__ import annotations

import math

from dnn_surgery import codecs
from dnn_surgery.codecs.transform import Transform
from dnn_surgery.errors import SurgeryError
from dnn_surgery.protocol import methods
from dnn_surgery.protocol.dataplane import WireTensor
from dnn_surgery.protocol.messages import decode_reply, decode_request
from dnn_surgery.protocol.wire import PROBE_PAYLOAD_FIELD, split
from tests.codecs.transforms import example_parameters

# What the graph says that an encoded tensor is: small, so that an input of a few bytes may be right.
SHAPE, PICTURE = (1, 4, 6, 5), (1, 8, 8, 3)
LEARNT = Transform(example_parameters(SHAPE[1:]))
codecs.register(LEARNT)
CODECS = (
    *("raw", "fp16", "zstd", "fp16+zstd", "int8", "int3", "int4c", "int5+zstd", "int8c+zstd", "int3c+zstd"),
    *("png", "jpeg90", "webp90", LEARNT.id, "webp-lossless", "jpeg90-444"),
)
REQUEST, REPLY, OTHERS, CODEC = range(4)


def decode(data: bytes) -> None:
    """Decodes one input.

    Raises:
        AssertionError: an array is not what was asked for.
        Exception: anything else that is no SurgeryError is a fault.
    """
    if not data:
        return
    kind, body = data[0], data[1:]
    try:
        if kind == REQUEST:
            for tensor in decode_request(body).inputs:
                _read(tensor)
        elif kind == REPLY:
            decode_reply(body)
        elif kind == OTHERS:
            _others(body)
        else:
            _payload(CODECS[(kind - CODEC) % len(CODECS)], body)
    except SurgeryError as error:
        # What a client is told is one line, whatever it sent.
        assert str(error)


def _read(tensor: WireTensor) -> None:
    assert tensor.array.size == math.prod(tensor.array.shape)
    if tensor.codec is not None:
        _payload(tensor.codec, bytes(tensor.array))


def _payload(codec: str, payload: bytes) -> None:
    picture = codec.startswith(("png", "jpeg", "webp"))
    dtype, shape = ("uint8", PICTURE) if picture else ("float32", SHAPE)
    array = codecs.decode(codec, memoryview(payload), dtype, shape)
    assert array.shape == shape and array.dtype == dtype


def _others(body: bytes) -> None:
    if not body:
        return
    method = methods.ALL[body[0] % len(methods.ALL)]
    if method is methods.PROBE:
        split(body[1:], PROBE_PAYLOAD_FIELD)
    else:
        methods.parse(method.request, body[1:])
