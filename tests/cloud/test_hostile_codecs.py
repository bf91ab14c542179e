"""Payloads of strangers over the wire, codec by codec: refused with a reason, little memory, and the server goes on."""

from __future__ import annotations

import io
import struct
import tracemalloc
import zlib
from collections.abc import Iterator

import numpy as np
import pytest
import torch
import zstandard
from PIL import Image

from dnn_surgery import codecs
from dnn_surgery.cloud.server import CloudServer
from dnn_surgery.codecs.transform import Transform
from dnn_surgery.codecs.transform_file import NOT_SENT
from dnn_surgery.errors import CodecError
from dnn_surgery.execution.engine import Array
from dnn_surgery.execution.engines import make_engine
from dnn_surgery.model.graph import ModelGraph
from dnn_surgery.model.tracing import trace
from dnn_surgery.protocol.client import InferenceClient
from tests.codecs.transforms import example_parameters
from tests.edge.networks import SIZE, build

# conv of 32 x 32 with stride 2.
MIDDLE = (8, 15, 15)
KLT = Transform(example_parameters(MIDDLE))


@pytest.fixture(scope="module")
def graph() -> ModelGraph:
    return trace(build(), (torch.zeros(1, SIZE, SIZE, 3, dtype=torch.uint8),), name="small")


@pytest.fixture(scope="module")
def server(graph: ModelGraph) -> Iterator[CloudServer]:
    codecs.register(KLT)
    with CloudServer(make_engine(graph, device="cpu", threads=1)) as running:
        yield running


@pytest.fixture(scope="module")
def client(server: CloudServer, graph: ModelGraph) -> Iterator[InferenceClient]:
    with InferenceClient(server.address, model_name=graph.name, fingerprint=graph.fingerprint) as running:
        yield running


def middle(graph: ModelGraph) -> str:
    (tensor,) = graph.boundary(graph.edge_layers("first.0"))
    assert graph.tensors[tensor].shape[1:] == MIDDLE
    return tensor


def frame_of(size_bytes: int) -> bytes:
    """A plane of zeros as a zstandard frame: tiny, however much it declares."""
    frame = zstandard.ZstdCompressor(level=3).compress(bytes(size_bytes))
    return struct.pack("<I", len(frame) | 1 << 31) + frame


def picture_file(format_: str, side: int, **options: object) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (side, side)).save(buffer, format_, **options)
    return buffer.getvalue()


def png_bomb() -> bytes:
    def chunk(name: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))

    header = struct.pack(">II5B", SIZE, SIZE, 8, 2, 0, 0, 0)
    data = zlib.compress(bytes(20_000_000), 9)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", data) + chunk(b"IEND", b"")


def klt_words(words: int, escapes: int) -> bytes:
    body = struct.pack("<I", escapes) + bytes(4 * words)
    high, wide = KLT.parameters.blocks
    blocks = (MIDDLE[1] // high) * (MIDDLE[2] // wide)
    symbols = blocks * int(np.count_nonzero(KLT.parameters.groups != NOT_SENT))
    return struct.pack("<I", zlib.crc32(body, zlib.crc32(struct.pack("<I", symbols)))) + body


def bombs() -> list[tuple[str, bytes]]:
    """On the tensor in the middle, then on the picture."""
    plane = int(np.prod(MIDDLE))
    return [
        ("raw", bytes(1_000_000)),
        ("fp16", bytes(1_000_001)),
        ("zstd", b"\0" + frame_of(500_000_000)),
        ("zstd", b"\0" + 4 * frame_of(plane + 1)),
        ("zstd", b"\1" + frame_of(500_000_000)),
        ("zstd", b"\0" + struct.pack("<I", 0x7FFFFFFF) + bytes(10)),
        ("int8", bytes(1_000_000)),
        ("int4c", bytes(3)),
        ("int8c+zstd", b"\0" + 2 * frame_of(16) + frame_of(500_000_000)),
        ("fp16+zstd", frame_of(plane)),
        (KLT.id, bytes(1_000_000)),
        (KLT.id, klt_words(3, 1 << 30)),
        (KLT.id, klt_words(3, 2)),
        ("klt-0123456789abcdef", bytes(8)),
        ("int2", b""),
        ("jpeg75", b"\xff\xd8"),
    ]


PICTURES = [
    ("jpeg75", picture_file("JPEG", 4000)),
    ("jpeg75-444", picture_file("JPEG", SIZE, progressive=True)),
    ("png", png_bomb()),
    ("png", picture_file("PNG", 4000)),
    ("webp75", picture_file("WEBP", 4000)),
    ("webp-lossless", picture_file("WEBP", 4000, lossless=True)),
    ("webp-lossless", picture_file("WEBP", SIZE)),
    ("webp75", picture_file("WEBP", SIZE, lossless=True)),
    ("int8c", bytes(100)),
]


@pytest.mark.parametrize(("codec", "payload"), bombs(), ids=lambda value: value if isinstance(value, str) else "")
def test_a_bomb_on_a_tensor_is_refused_and_the_server_goes_on(
    client: InferenceClient, graph: ModelGraph, codec: str, payload: bytes
) -> None:
    check_refused(client, graph, middle(graph), codec, payload)


@pytest.mark.parametrize(("codec", "payload"), PICTURES, ids=lambda value: value if isinstance(value, str) else "")
def test_a_bomb_on_the_picture_is_refused_and_the_server_goes_on(
    client: InferenceClient, graph: ModelGraph, codec: str, payload: bytes
) -> None:
    check_refused(client, graph, graph.inputs[0], codec, payload)


def check_refused(client: InferenceClient, graph: ModelGraph, tensor: str, codec: str, payload: bytes) -> None:
    answer(client, graph)
    tracemalloc.start()
    # The client raises CodecError for INVALID_ARGUMENT that is about a codec.
    with pytest.raises(CodecError):
        client.infer({tensor: payload}, codecs={tensor: codec})
    # The server is a thread of this process: what it took counts, and the payload several times on its way.
    assert tracemalloc.get_traced_memory()[1] < 6 * len(payload) + 3_000_000
    tracemalloc.stop()
    answer(client, graph)


def answer(client: InferenceClient, graph: ModelGraph) -> Array:
    picture = np.full((1, SIZE, SIZE, 3), 90, np.uint8)
    reply = client.infer({graph.inputs[0]: codecs.encode("png", picture)}, codecs={graph.inputs[0]: "png"})
    (scores,) = reply.tensors.values()
    assert np.isfinite(scores).all()
    return scores


def test_what_the_codecs_wrote_is_answered(client: InferenceClient, graph: ModelGraph) -> None:
    engine_input = np.random.default_rng(1).integers(0, 256, (1, SIZE, SIZE, 3)).astype(np.uint8)
    tensor = middle(graph)
    made = make_engine(graph, device="cpu", threads=1).part(graph.inputs, (tensor,))({graph.inputs[0]: engine_input})
    for codec in ("raw", "fp16", "zstd", "int8", "int4c", "int8c+zstd", "fp16+zstd", KLT.id):
        reply = client.infer({tensor: codecs.encode(codec, made[tensor])}, codecs={tensor: codec})
        assert np.isfinite(next(iter(reply.tensors.values()))).all()
