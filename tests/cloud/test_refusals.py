"""Whatever is wrong with a request: the status is the design's, one line says why, the next good one is answered."""

import struct
from collections.abc import Callable, Iterator

import grpc
import numpy as np
import pytest
import zstandard

from dnn_surgery.cloud.ray_server import RayServer
from dnn_surgery.cloud.server import CloudServer
from dnn_surgery.errors import (
    CodecError,
    FingerprintError,
    SurgeryError,
    TensorError,
    TooLargeError,
    UnknownModelError,
)
from dnn_surgery.execution.engine import Array, Engine
from dnn_surgery.model.graph import ModelGraph
from dnn_surgery.protocol import methods
from dnn_surgery.protocol.client import InferenceClient
from dnn_surgery.protocol.stubs import open_inference_pb2 as oip
from tests.cloud.network import NAME, SIZE, assert_equal, head

Message = oip.ModelInferRequest
INVALID, NOT_FOUND = grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.NOT_FOUND


@pytest.fixture(scope="module")
def server(either_server: CloudServer | RayServer) -> CloudServer | RayServer:
    return either_server


@pytest.fixture
def raw_call(server: CloudServer | RayServer) -> Iterator[Callable[[bytes], bytes]]:
    """ModelInfer with bytes of any kind."""
    with grpc.insecure_channel(server.address) as channel:
        call = channel.unary_unary(methods.MODEL_INFER.path, request_serializer=None, response_deserializer=None)
        yield lambda data: call(data, timeout=10)


@pytest.fixture(autouse=True)
def goes_on_serving(client: InferenceClient, inputs: dict[str, Array], expected: dict[str, Array]) -> Iterator[None]:
    yield
    assert_equal(dict(client.infer(inputs).tensors), expected)


def good(graph: ModelGraph) -> Message:
    message = Message(model_name=NAME, raw_input_contents=[bytes(4 * 3 * SIZE * SIZE)])
    message.inputs.add(name=graph.inputs[0], datatype="FP32", shape=[1, 3, SIZE, SIZE])
    return message


def refusal(call: Callable[[bytes], bytes], data: bytes) -> tuple[grpc.StatusCode, str]:
    with pytest.raises(grpc.RpcError) as caught:
        call(data)
    error = caught.value
    assert isinstance(error, grpc.Call)
    details = error.details() or ""
    assert details
    assert "\n" not in details
    assert "Traceback" not in details
    return error.code(), details


def test_the_request_that_the_others_are_made_from_is_answered(
    raw_call: Callable[[bytes], bytes], graph: ModelGraph
) -> None:
    reply = oip.ModelInferResponse.FromString(raw_call(good(graph).SerializeToString()))
    assert [output.name for output in reply.outputs] == list(graph.outputs)


def wrong_datatype(message: Message) -> None:
    message.inputs[0].datatype = "INT32"


def wrong_shape(message: Message) -> None:
    message.inputs[0].shape[:] = [1, SIZE, SIZE, 3]


def wrong_rank(message: Message) -> None:
    message.inputs[0].shape[:] = [3, SIZE, SIZE]


def other_batch(message: Message) -> None:
    message.inputs[0].shape[:] = [2, 3, SIZE, SIZE]
    message.raw_input_contents[0] *= 2


def truncated(message: Message) -> None:
    message.raw_input_contents[0] = message.raw_input_contents[0][:-1]


def no_contents(message: Message) -> None:
    del message.raw_input_contents[:]


def unknown(message: Message) -> None:
    message.inputs[0].name = "stemm"


def twice(message: Message) -> None:
    message.inputs.append(message.inputs[0])
    message.raw_input_contents.append(message.raw_input_contents[0])


def no_inputs(message: Message) -> None:
    del message.inputs[:]
    del message.raw_input_contents[:]


def unknown_output(message: Message) -> None:
    message.outputs.add(name="class")


def output_twice(message: Message) -> None:
    message.outputs.add(name="head")
    message.outputs.add(name="head")


def unknown_codec(message: Message) -> None:
    message.inputs[0].parameters["codec"].string_param = "pickle"
    message.inputs[0].datatype, message.inputs[0].shape[:] = "UINT8", [len(message.raw_input_contents[0])]


def codec_of_floats(message: Message) -> None:
    message.inputs[0].parameters["codec"].string_param = "raw"


def damaged_payload(message: Message) -> None:
    unknown_codec(message)
    message.inputs[0].parameters["codec"].string_param = "jpeg95"


def short_payload(message: Message) -> None:
    message.inputs[0].parameters["codec"].string_param = "raw"
    message.inputs[0].datatype, message.inputs[0].shape[:] = "UINT8", [5]
    message.raw_input_contents[0] = b"short"


def bomb(message: Message) -> None:
    frame = zstandard.ZstdCompressor(level=19).compress(bytes(100_000_000))
    plane = struct.pack("<I", len(frame) | 1 << 31) + frame
    message.inputs[0].parameters["codec"].string_param = "zstd"
    message.raw_input_contents[0] = b"\0" + 4 * plane
    message.inputs[0].datatype, message.inputs[0].shape[:] = "UINT8", [len(message.raw_input_contents[0])]


def other_model(message: Message) -> None:
    message.model_name = "vgg16"


def other_version(message: Message) -> None:
    message.model_version = "2"


def other_fingerprint(message: Message) -> None:
    message.parameters["fingerprint"].string_param = "0" * 64


def numeric_fingerprint(message: Message) -> None:
    message.parameters["fingerprint"].int64_param = 7


@pytest.mark.parametrize(
    ("spoil", "code", "why"),
    [
        (wrong_datatype, INVALID, "has datatype int32, expected float32"),
        (wrong_shape, INVALID, f"has shape [1, {SIZE}, {SIZE}, 3], expected [1, 3, {SIZE}, {SIZE}]"),
        (wrong_rank, INVALID, "has shape [3, 16, 16], expected [1, 3, 16, 16]"),
        (other_batch, INVALID, "has shape [2, 3,"),
        (truncated, INVALID, "carries 3071 bytes, expected 3072"),
        (no_contents, INVALID, "carries 0 elements"),
        (unknown, INVALID, "unknown tensors in branches: stemm; did you mean"),
        (twice, INVALID, "more than once"),
        (no_inputs, INVALID, "missing tensors: x needed for"),
        (unknown_output, INVALID, "unknown tensors in branches: class"),
        (output_twice, INVALID, "asked for more than once"),
        (unknown_codec, INVALID, "unknown codec 'pickle'"),
        (codec_of_floats, INVALID, "expected uint8 [n]"),
        (damaged_payload, INVALID, "jpeg"),
        (short_payload, INVALID, "5"),
        (bomb, INVALID, "a frame declares another size than the 768 bytes expected"),
        (other_model, NOT_FOUND, "no model 'vgg16' is served here; there is: branches"),
        (other_version, NOT_FOUND, "has no version '2'"),
        (other_fingerprint, grpc.StatusCode.FAILED_PRECONDITION, "fingerprint"),
        (numeric_fingerprint, INVALID, "'fingerprint' is no string"),
    ],
)
def test_a_spoilt_request_gets_its_status_and_the_reason(
    raw_call: Callable[[bytes], bytes],
    graph: ModelGraph,
    spoil: Callable[[Message], None],
    code: grpc.StatusCode,
    why: str,
) -> None:
    message = good(graph)
    spoil(message)
    got, details = refusal(raw_call, message.SerializeToString())
    assert got is code, details
    assert why in details


def test_random_bytes_are_refused_and_nothing_breaks(raw_call: Callable[[bytes], bytes]) -> None:
    rng = np.random.default_rng(3)
    for size in [1, 2, 10, 100, 1000, 100_000] * 10:
        code, _ = refusal(raw_call, rng.bytes(size))
        # A few short ones are messages by chance, of no model.
        assert code in (INVALID, NOT_FOUND)


def test_an_over_size_message_is_refused_by_either_side(
    client: InferenceClient, server: CloudServer, raw_call: Callable[[bytes], bytes], graph: ModelGraph
) -> None:
    message = good(graph)
    message.raw_input_contents[0] = bytes(2**20)
    code, details = refusal(raw_call, message.SerializeToString())
    assert code is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert "larger than max" in details
    with pytest.raises(TooLargeError):
        client.infer({graph.inputs[0]: np.zeros((1, 3, 1000, 1000), np.float32)})
    small = InferenceClient(server.address, model_name=NAME, max_message_bytes=1000)
    with small, pytest.raises(TooLargeError, match="the request takes"):
        small.infer({graph.inputs[0]: np.zeros((1, 3, SIZE, SIZE), np.float32)})


def test_a_missing_and_an_unneeded_tensor_are_named(
    client: InferenceClient, engine: Engine, inputs: dict[str, Array]
) -> None:
    graph = engine.graph
    two = next(
        edge
        for edge in (graph.edge_layers([a.name, b.name]) for a in graph.layers for b in graph.layers)
        if len(graph.boundary(edge)) == 2
    )
    sent, remaining = head(engine, two, inputs)
    first, second = sent
    with pytest.raises(TensorError, match=f"missing tensors: .*given only {second}"):
        client.infer({second: sent[second]}, remaining)
    with pytest.raises(TensorError, match=f"unneeded tensors: {graph.inputs[0]} "):
        client.infer({**sent, **inputs}, remaining)
    assert first in graph.tensors


@pytest.mark.parametrize(
    ("options", "kind"),
    [
        ({"model_name": "vgg16"}, UnknownModelError),
        ({"model_name": NAME, "fingerprint": "0" * 64}, FingerprintError),
    ],
)
def test_our_client_raises_the_errors_own_class(
    server: CloudServer, inputs: dict[str, Array], options: dict[str, str], kind: type[SurgeryError]
) -> None:
    with InferenceClient(server.address, **options) as other:  # type: ignore[arg-type]
        with pytest.raises(kind):
            other.infer(inputs)
        with pytest.raises(kind):
            other.fetch_profile()


def test_a_codec_error_is_told_from_a_tensor_error(client: InferenceClient, graph: ModelGraph) -> None:
    with pytest.raises(CodecError, match="unknown codec 'zip'"):
        client.infer({graph.inputs[0]: b"abc"}, codecs={graph.inputs[0]: "zip"})
