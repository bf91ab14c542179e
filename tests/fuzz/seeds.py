"""Writes the first corpus: a right input of every kind, for the fuzzer to begin with. `python -m tests.fuzz.seeds`."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from dnn_surgery import codecs
from dnn_surgery.protocol import methods
from dnn_surgery.protocol.dataplane import InferRequest, InferResult
from dnn_surgery.protocol.messages import encode_reply, encode_request, encoded_tensor, wire_tensor
from dnn_surgery.protocol.stubs import open_inference_pb2 as oip
from tests.fuzz.target import CODEC, CODECS, OTHERS, PICTURE, REPLY, REQUEST, SHAPE

CORPUS = Path(__file__).parent / "corpus"


def seeds() -> dict[str, bytes]:
    """Inputs by name."""
    drawn = np.random.default_rng(0)
    values = drawn.standard_normal(SHAPE).astype(np.float32)
    values[values < 0] = 0
    picture = np.tile(np.arange(8, dtype=np.uint8)[:, None, None] * 30, (1, 1, 8, 3))
    found: dict[str, bytes] = {}
    for number, codec in enumerate(CODECS):
        payload = codecs.encode(codec, picture if codec.startswith(("png", "jpeg", "webp")) else values)
        found[f"codec-{codec}"] = bytes([CODEC + number]) + payload
        request = InferRequest("m", (encoded_tensor("a", payload, codec),), outputs=("b",), fingerprint="f")
        if codec in ("zstd", "int4c", "jpeg90"):
            found[f"request-{codec}"] = bytes([REQUEST]) + encode_request(request)
    arrays = [np.array([[True, False]]), np.arange(3, dtype=np.int64), np.float16(1.5) * np.ones((2, 2), np.float16)]
    tensors = tuple(wire_tensor(f"t{number}", array) for number, array in enumerate(arrays))
    plain = InferRequest("m", tensors, outputs=("x", "y"), model_version="1", request_id="7")
    found["request-raw"] = bytes([REQUEST]) + encode_request(plain)
    result = InferResult(outputs=tensors, queue_s=0.1, compute_s=0.2, load=1.5)
    found["reply"] = bytes([REPLY]) + encode_reply(plain, result)
    typed = oip.ModelInferRequest(model_name="m")
    tensor = typed.inputs.add(name="a", datatype="FP32", shape=[2])
    tensor.contents.fp32_contents.extend([1.0, 2.0])
    found["request-typed"] = bytes([REQUEST]) + typed.SerializeToString()
    for number, method in enumerate(methods.ALL):
        message = method.request()
        for field in ("name", "version", "model_name", "fingerprint"):
            if field in message.DESCRIPTOR.fields_by_name:
                setattr(message, field, "m")
        found[f"call-{method.name}"] = bytes([OTHERS, number]) + message.SerializeToString()
    assert picture.shape == PICTURE
    return found


def main() -> None:
    CORPUS.mkdir(exist_ok=True)
    for name, data in seeds().items():
        (CORPUS / name).write_bytes(data)


if __name__ == "__main__":
    main()
