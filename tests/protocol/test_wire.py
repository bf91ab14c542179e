import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from dnn_surgery.errors import CodecError, TensorError
from dnn_surgery.protocol.messages import decode_reply, decode_request
from dnn_surgery.protocol.stubs import open_inference_pb2 as oip
from dnn_surgery.protocol.wire import MAX_FIELDS, REQUEST_RAW_FIELD, join, split


@given(
    name=st.text(max_size=20), shape=st.lists(st.integers(0, 2**62), max_size=4), raw=st.lists(st.binary(), max_size=5)
)
@example(name="x", shape=[1], raw=[b"", bytes(127), bytes(128), bytes(70_000)])
def test_protobuf_and_we_read_and_write_the_same(name: str, shape: list[int], raw: list[bytes]) -> None:
    message = oip.ModelInferRequest(model_name=name, inputs=[{"name": name, "shape": shape}])
    rest = message.SerializeToString()
    message.raw_input_contents.extend(raw)
    joined = join(rest, REQUEST_RAW_FIELD, [memoryview(entry) for entry in raw])
    assert oip.ModelInferRequest.FromString(joined) == message
    parts = split(message.SerializeToString(), REQUEST_RAW_FIELD)
    assert [bytes(entry) for entry in parts.raw] == raw
    assert parts.rest == rest


def test_fields_behind_and_between_raw_entries_are_kept() -> None:
    name = oip.ModelInferRequest(model_name="m").SerializeToString()
    request_id = oip.ModelInferRequest(id="7").SerializeToString()
    entry = oip.ModelInferRequest(raw_input_contents=[b"abc"]).SerializeToString()
    parts = split(entry + name + entry + request_id, REQUEST_RAW_FIELD)
    assert parts.rest == name + request_id
    assert [bytes(raw) for raw in parts.raw] == [b"abc", b"abc"]


def test_entries_are_views_and_not_copies() -> None:
    message = join(b"", REQUEST_RAW_FIELD, [memoryview(bytes(1000))])
    (entry,) = split(message, REQUEST_RAW_FIELD).raw
    assert np.shares_memory(np.frombuffer(entry, np.uint8), np.frombuffer(message, np.uint8))


@pytest.mark.parametrize(
    ("message", "why"),
    [
        (b"\x3a", "ends inside a number"),
        (b"\x3a\x05ab", "ends inside a field"),
        (b"\x3a\xff\xff\xff\xff\xff\xff\xff\xff\xff\x7f", "ends inside a field"),
        (b"\x3a\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\x7f", "ends inside a number"),
        (b"\x0b", "unknown wire type 3"),
        (b"\x0d\x01", "ends inside a field"),
        (b"\x0a\x00" * (MAX_FIELDS + 1), "more than"),
    ],
)
def test_malformed_messages_are_refused(message: bytes, why: str) -> None:
    with pytest.raises(TensorError, match=why):
        split(message, REQUEST_RAW_FIELD)


@given(st.binary(max_size=200))
def test_random_bytes_are_a_message_or_refused(data: bytes) -> None:
    for decode in (decode_request, decode_reply):
        try:
            decode(data)
        except (TensorError, CodecError) as error:
            assert "\n" not in str(error)


@given(st.data())
def test_a_damaged_message_is_a_message_or_refused(data: st.DataObject) -> None:
    message = oip.ModelInferRequest(model_name="m", raw_input_contents=[bytes(8), bytes(2)])
    message.inputs.add(name="a", datatype="FP32", shape=[2]).parameters["codec"].string_param = "jpeg95"
    message.inputs.add(name="b", datatype="BOOL", shape=[2])
    damaged = bytearray(message.SerializeToString())
    for _ in range(data.draw(st.integers(1, 4))):
        damaged[data.draw(st.integers(0, len(damaged) - 1))] = data.draw(st.integers(0, 255))
    try:
        request = decode_request(bytes(damaged))
    except (TensorError, CodecError):
        return
    assert all(tensor.array.nbytes <= len(damaged) for tensor in request.inputs)
