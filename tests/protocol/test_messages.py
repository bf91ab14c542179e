from typing import Any

import numpy as np
import pytest

from dnn_surgery.errors import CodecError, TensorError
from dnn_surgery.protocol.dataplane import InferRequest, InferResult, WireTensor
from dnn_surgery.protocol.messages import (
    decode_reply,
    decode_request,
    encode_reply,
    encode_request,
    encoded_tensor,
    wire_tensor,
)
from dnn_surgery.protocol.stubs import open_inference_pb2 as oip

DTYPES = [
    "bool",
    "uint8",
    "uint16",
    "uint32",
    "uint64",
    "int8",
    "int16",
    "int32",
    "int64",
    "float16",
    "float32",
    "float64",
]


def request(*tensors: WireTensor) -> InferRequest:
    return InferRequest(model_name="m", inputs=tensors)


def received(*tensors: WireTensor) -> tuple[WireTensor, ...]:
    return decode_request(encode_request(request(*tensors))).inputs


@pytest.mark.parametrize("dtype", DTYPES)
def test_arrays_of_every_datatype_arrive_as_they_were(dtype: str) -> None:
    array = np.random.default_rng(0).integers(0, 2, (2, 3, 4)).astype(dtype)
    (tensor,) = received(wire_tensor("x", array))
    assert (tensor.name, tensor.dtype, tensor.codec) == ("x", dtype, None)
    assert tensor.array.dtype == array.dtype
    np.testing.assert_array_equal(tensor.array, array)


def test_bfloat16_travels_as_its_bits() -> None:
    bits = np.array([[0x3F80, 0xBF80]], dtype=np.uint16)
    data = encode_request(request(WireTensor("x", "bfloat16", bits)))
    assert oip.ModelInferRequest.FromString(data).inputs[0].datatype == "BF16"
    (tensor,) = decode_request(data).inputs
    assert (tensor.dtype, tensor.array.dtype.name) == ("bfloat16", "uint16")
    np.testing.assert_array_equal(tensor.array, bits)


@pytest.mark.parametrize(
    "array",
    [
        np.array(3.5, dtype=np.float32),
        np.zeros((0, 4), dtype=np.float32),
        np.arange(24, dtype=np.float32).reshape(2, 3, 4).transpose(2, 0, 1),
        np.arange(24, dtype=np.float32)[::-2],
        np.arange(4, dtype=">f4"),
    ],
    ids=["scalar", "empty", "transposed", "reversed", "big-endian"],
)
def test_odd_arrays_arrive_as_they_were(array: Any) -> None:
    (tensor,) = received(wire_tensor("x", array))
    assert tensor.array.shape == array.shape
    np.testing.assert_array_equal(tensor.array, array)


def test_a_received_array_is_a_view_into_the_message() -> None:
    data = encode_request(request(wire_tensor("x", np.zeros((10, 10), dtype=np.float32))))
    (tensor,) = decode_request(data).inputs
    assert np.shares_memory(tensor.array, np.frombuffer(data, np.uint8))


def test_a_request_keeps_all_it_says() -> None:
    sent = InferRequest("m", (wire_tensor("x", np.zeros(1, np.int8)),), ("a", "b"), "1", "abc", "frame 7")
    got = decode_request(encode_request(sent))
    assert (got.model_name, got.outputs, got.model_version) == ("m", ("a", "b"), "1")
    assert (got.fingerprint, got.request_id) == ("abc", "frame 7")
    assert decode_request(encode_request(request())).fingerprint is None


def test_an_encoded_tensor_is_bytes_with_a_codec() -> None:
    data = encode_request(request(encoded_tensor("x", b"\x01\x02\x03", "jpeg95")))
    message = oip.ModelInferRequest.FromString(data).inputs[0]
    assert (message.datatype, list(message.shape)) == ("UINT8", [3])
    assert message.parameters["codec"].string_param == "jpeg95"
    (tensor,) = decode_request(data).inputs
    assert (tensor.codec, tensor.array.tobytes()) == ("jpeg95", b"\x01\x02\x03")


def test_a_reply_carries_tensors_and_times() -> None:
    result = InferResult((wire_tensor("y", np.arange(3, dtype=np.int64)),), queue_s=0.25, compute_s=0.5, load=1.5)
    data = encode_reply(InferRequest("m", (), request_id="frame 7"), result)
    message = oip.ModelInferResponse.FromString(data)
    assert (message.model_name, message.model_version, message.id) == ("m", "1", "frame 7")
    got = decode_reply(data)
    assert (got.queue_s, got.compute_s, got.load) == (0.25, 0.5, 1.5)
    np.testing.assert_array_equal(got.outputs[0].array, [0, 1, 2])


def test_a_reply_of_another_make_of_server_says_nothing_of_times() -> None:
    message = oip.ModelInferResponse(model_name="m")
    message.outputs.add(name="y", datatype="FP32", shape=[2]).contents.fp32_contents.extend([1.5, 2.5])
    got = decode_reply(message.SerializeToString())
    assert (got.queue_s, got.compute_s, got.load) == (0.0, 0.0, 1.0)
    np.testing.assert_array_equal(got.outputs[0].array, np.array([1.5, 2.5], np.float32))


@pytest.mark.parametrize(
    ("datatype", "field", "elements"),
    [
        ("BOOL", "bool_contents", [True, False]),
        ("INT8", "int_contents", [-128, 127]),
        ("INT32", "int_contents", [-(2**31), 5]),
        ("INT64", "int64_contents", [-(2**63), 5]),
        ("UINT8", "uint_contents", [0, 255]),
        ("UINT64", "uint64_contents", [0, 2**64 - 1]),
        ("FP32", "fp32_contents", [0.5, -1.5]),
        ("FP64", "fp64_contents", [0.1, -1.5]),
    ],
)
def test_typed_contents_are_taken_as_well(datatype: str, field: str, elements: list[Any]) -> None:
    message = oip.ModelInferRequest(model_name="m")
    getattr(message.inputs.add(name="x", datatype=datatype, shape=[1, 2]).contents, field).extend(elements)
    (tensor,) = decode_request(message.SerializeToString()).inputs
    assert tensor.array.shape == (1, 2)
    assert tensor.array.ravel().tolist() == elements


def described(datatype: str, shape: list[int], *, raw: bytes | None = None) -> oip.ModelInferRequest:
    message = oip.ModelInferRequest(model_name="m", raw_input_contents=[] if raw is None else [raw])
    message.inputs.add(name="x", datatype=datatype, shape=shape)
    return message


def with_contents(message: oip.ModelInferRequest, **contents: Any) -> oip.ModelInferRequest:
    message.inputs[0].contents.MergeFrom(oip.InferTensorContents(**contents))
    return message


@pytest.mark.parametrize(
    ("message", "why"),
    [
        (described("FP32", [2], raw=bytes(7)), "carries 7 bytes, expected 8"),
        (described("FP32", [2, -4], raw=bytes(8)), "cannot be negative"),
        (described("FP32", [2**62, 2**62], raw=bytes(8)), "carries 8 bytes"),
        (described("FP32", [0, 2**62, 2**62], raw=b""), "no array can have it"),
        (described("FP32", [1] * 100, raw=bytes(4)), "100 dimensions"),
        (described("BOOL", [2], raw=b"\x01\x02"), "other than 0 and 1"),
        (described("BYTES", [1], raw=b"\x00"), "datatype 'BYTES'"),
        (described("fp32", [1], raw=bytes(4)), "datatype 'fp32'"),
        (described("FP32", [2]), "carries 0 elements"),
        (with_contents(described("FP32", [2]), fp32_contents=[1]), "carries 1 elements"),
        (with_contents(described("FP32", [1], raw=bytes(4)), fp32_contents=[1]), "one of the two"),
        (with_contents(described("INT8", [1]), int_contents=[300]), "beyond the range"),
        (with_contents(described("FP16", [1]), fp32_contents=[1]), "must be sent as raw"),
        (oip.ModelInferRequest(raw_input_contents=[b"a", b"b"], inputs=[{"name": "x"}]), "2 raw contents for 1"),
    ],
)
def test_tensors_that_are_not_what_they_say_are_refused(message: oip.ModelInferRequest, why: str) -> None:
    with pytest.raises(TensorError, match=why):
        decode_request(message.SerializeToString())


def test_a_codec_must_be_a_string() -> None:
    message = described("UINT8", [1], raw=b"a")
    message.inputs[0].parameters["codec"].int64_param = 3
    with pytest.raises(CodecError, match="'codec' of tensor 'x' is no string"):
        decode_request(message.SerializeToString())


def test_numbers_that_cannot_travel_are_refused() -> None:
    with pytest.raises(TensorError, match="'x' of datatype complex64"):
        encode_request(request(wire_tensor("x", np.zeros(1, np.complex64))))
