"""What a server says of itself and of its models, as messages of the protocol and back."""

from __future__ import annotations

from dnn_surgery.protocol.dataplane import ModelDescription, ServerDescription, TensorDescription
from dnn_surgery.protocol.datatypes import to_datatype, to_dtype
from dnn_surgery.protocol.stubs import open_inference_pb2 as oip


def server_metadata(server: ServerDescription) -> oip.ServerMetadataResponse:
    """Name, version and extensions."""
    return oip.ServerMetadataResponse(name=server.name, version=server.version, extensions=server.extensions)


def model_metadata(model: ModelDescription) -> oip.ModelMetadataResponse:
    """Inputs and outputs with datatype and shape."""
    return oip.ModelMetadataResponse(
        name=model.name,
        versions=model.versions,
        platform=model.platform,
        inputs=[_metadata(tensor) for tensor in model.inputs],
        outputs=[_metadata(tensor) for tensor in model.outputs],
    )


def read_server_metadata(message: oip.ServerMetadataResponse) -> ServerDescription:
    """The reverse of :func:`server_metadata`."""
    return ServerDescription(name=message.name, version=message.version, extensions=tuple(message.extensions))


def read_model_metadata(message: oip.ModelMetadataResponse) -> ModelDescription:
    """The reverse of :func:`model_metadata`.

    Raises:
        TensorError: a datatype is none of the protocol's.
    """
    return ModelDescription(
        name=message.name,
        versions=tuple(message.versions),
        platform=message.platform,
        inputs=tuple(_description(tensor) for tensor in message.inputs),
        outputs=tuple(_description(tensor) for tensor in message.outputs),
    )


def model_config(model: ModelDescription) -> oip.ModelConfigResponse:
    """The part of Triton's model configuration that its clients read."""
    config = oip.ModelConfig(
        name=model.name,
        backend=model.platform,
        input=[
            oip.ModelInput(name=tensor.name, data_type=_data_type(tensor), dims=_shape(tensor))
            for tensor in model.inputs
        ],
        output=[
            oip.ModelOutput(name=tensor.name, data_type=_data_type(tensor), dims=_shape(tensor))
            for tensor in model.outputs
        ],
    )
    return oip.ModelConfigResponse(config=config)


def _metadata(tensor: TensorDescription) -> oip.ModelMetadataResponse.TensorMetadata:
    return oip.ModelMetadataResponse.TensorMetadata(
        name=tensor.name, datatype=to_datatype(tensor.dtype, tensor.name), shape=_shape(tensor)
    )


def _data_type(tensor: TensorDescription) -> str:
    return f"TYPE_{to_datatype(tensor.dtype, tensor.name)}"


def _shape(tensor: TensorDescription) -> list[int]:
    return [-1 if size is None else size for size in tensor.shape]


def _description(tensor: oip.ModelMetadataResponse.TensorMetadata) -> TensorDescription:
    return TensorDescription(
        name=tensor.name,
        dtype=to_dtype(tensor.datatype, tensor.name),
        shape=tuple(None if size < 0 else size for size in tensor.shape),
    )
