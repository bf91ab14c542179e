"""A stand-in for Triton, in a process of its own: the standard protocol and nothing else, ONNX Runtime behind it.

It knows nothing of this project: the messages and the model configuration are those that tritonclient ships, and it
loads a model repository by what its config.pbtxt files say, as strictly as Triton does.

    python -m tests.standard_server REPOSITORY [DIE_AFTER]    prints its address; dies in inference number DIE_AFTER
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent import futures
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grpc
import numpy as np

REPOSITORY_ROOT = Path(__file__).parents[1]

_DTYPES = {
    "BOOL": np.bool_,
    "UINT8": np.uint8,
    "INT32": np.int32,
    "INT64": np.int64,
    "FP16": np.float16,
    "FP32": np.float32,
    "FP64": np.float64,
}
_OF_RUNTIME = {
    "tensor(bool)": "BOOL",
    "tensor(uint8)": "UINT8",
    "tensor(int32)": "INT32",
    "tensor(int64)": "INT64",
    "tensor(float16)": "FP16",
    "tensor(float)": "FP32",
    "tensor(double)": "FP64",
}


@dataclass
class Loaded:
    """A model: its configuration by Triton's own schema, and its session."""

    config: Any
    session: Any
    inputs: dict[str, Any] = field(default_factory=dict)
    outputs: dict[str, Any] = field(default_factory=dict)


def load(folder: Path) -> Loaded:
    import onnxruntime
    from google.protobuf import text_format
    from tritonclient.grpc import model_config_pb2

    config = text_format.Parse((folder / "config.pbtxt").read_text(encoding="utf-8"), model_config_pb2.ModelConfig())
    assert config.name == folder.name
    assert config.platform == "onnxruntime_onnx"
    assert config.max_batch_size == 0
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(
        str(folder / "1" / "model.onnx"), options, providers=["CPUExecutionProvider"]
    )
    loaded = Loaded(config, session)
    for described, real, kept in (
        (config.input, session.get_inputs(), loaded.inputs),
        (config.output, session.get_outputs(), loaded.outputs),
    ):
        kept.update({tensor.name: tensor for tensor in described})
        assert kept.keys() == {tensor.name for tensor in real}, f"{config.name}: other names than its model"
        for tensor in real:
            check(tensor, kept[tensor.name], config.name)
    return loaded


def check(real: Any, described: Any, model: str) -> None:
    """Triton refuses a model whose configuration says otherwise than the model itself."""
    where = f"{model}: {real.name}"
    assert datatype(described) == _OF_RUNTIME[real.type], where
    assert len(described.dims) > 0, f"{where}: Triton knows no tensor without dims"
    dims = list(described.reshape.shape) if described.HasField("reshape") else list(described.dims)
    assert len(dims) == len(real.shape), f"{where}: {dims} for {real.shape}"
    for dim, size in zip(dims, real.shape, strict=True):
        assert not isinstance(size, int) or dim == size, f"{where}: {dims} for {real.shape}"


def datatype(described: Any) -> str:
    from tritonclient.grpc import model_config_pb2

    return str(model_config_pb2.DataType.Name(described.data_type)).removeprefix("TYPE_")


def make_service(repository: Path, die_after: int | None) -> Any:
    from tritonclient.grpc import service_pb2 as pb
    from tritonclient.grpc import service_pb2_grpc

    models = {path.name: load(path) for path in sorted(repository.iterdir()) if path.is_dir()}

    class Service(service_pb2_grpc.GRPCInferenceServiceServicer):  # type: ignore[misc]  # generated, untyped
        def __init__(self) -> None:
            self.count, self.lock = 0, threading.Lock()

        def ServerLive(self, request: Any, context: Any) -> Any:
            return pb.ServerLiveResponse(live=True)

        def ServerReady(self, request: Any, context: Any) -> Any:
            return pb.ServerReadyResponse(ready=True)

        def ModelReady(self, request: Any, context: Any) -> Any:
            return pb.ModelReadyResponse(ready=request.name in models)

        def ModelMetadata(self, request: Any, context: Any) -> Any:
            model = self.model(request.name, context)
            answer = pb.ModelMetadataResponse(name=request.name, versions=["1"], platform=model.config.platform)
            for described, metadata in ((model.inputs, answer.inputs), (model.outputs, answer.outputs)):
                for tensor in described.values():
                    metadata.add(name=tensor.name, datatype=datatype(tensor), shape=tensor.dims)
            return answer

        def ModelInfer(self, request: Any, context: Any) -> Any:
            with self.lock:
                self.count += 1
                if die_after is not None and self.count > die_after:
                    os.kill(os.getpid(), signal.SIGKILL)
            model = self.model(request.model_name, context)
            if request.parameters or any(tensor.parameters for tensor in request.inputs):
                context.abort(grpc.StatusCode.INVALID_ARGUMENT, "unknown parameters")
            if {tensor.name for tensor in request.inputs} != model.inputs.keys():
                context.abort(grpc.StatusCode.INVALID_ARGUMENT, f"expected inputs {list(model.inputs)}")
            given = {}
            for tensor, raw in zip(request.inputs, request.raw_input_contents, strict=True):
                described = model.inputs[tensor.name]
                dims, shape = list(described.dims), list(tensor.shape)
                fits = len(dims) == len(shape) and all(d in (-1, s) for d, s in zip(dims, shape, strict=True))
                if tensor.datatype != datatype(described) or not fits:
                    context.abort(grpc.StatusCode.INVALID_ARGUMENT, f"unexpected shape for input '{tensor.name}'")
                if described.HasField("reshape"):
                    shape = list(described.reshape.shape)
                given[tensor.name] = np.frombuffer(raw, _DTYPES[tensor.datatype]).reshape(shape)
            wanted = [tensor.name for tensor in request.outputs] or list(model.outputs)
            answer = pb.ModelInferResponse(model_name=request.model_name, model_version="1", id=request.id)
            for name, array in zip(wanted, model.session.run(wanted, given), strict=True):
                shape = model.outputs[name].dims if model.outputs[name].HasField("reshape") else array.shape
                answer.outputs.add(name=name, datatype=datatype(model.outputs[name]), shape=shape)
                answer.raw_output_contents.append(np.ascontiguousarray(array).tobytes())
            return answer

        def model(self, name: str, context: Any) -> Loaded:
            if name not in models:
                context.abort(grpc.StatusCode.NOT_FOUND, f"Request for unknown model: '{name}' is not found")
            return models[name]

    return Service()


def main(repository: str, die_after: str | None = None) -> None:
    from tritonclient.grpc import service_pb2_grpc

    server = grpc.server(futures.ThreadPoolExecutor(max_workers=2))
    service = make_service(Path(repository), None if die_after is None else int(die_after))
    service_pb2_grpc.add_GRPCInferenceServiceServicer_to_server(service, server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    sys.stdout.write(f"127.0.0.1:{port}\n")
    sys.stdout.flush()
    server.wait_for_termination()


@contextmanager
def standard_server(repository: Path, *, die_after: int | None = None) -> Iterator[str]:
    """The address of a stand-in process that serves a repository."""
    arguments = [str(repository)] + ([] if die_after is None else [str(die_after)])
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.standard_server", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=REPOSITORY_ROOT,
    )
    try:
        assert process.stdout is not None
        address = process.stdout.readline().strip()
        assert address, process.communicate()[1]
        yield address
    finally:
        process.kill()
        process.communicate()


if __name__ == "__main__":
    main(*sys.argv[1:])
