"""The calls of both services: full name, request class, reply class.

Requests and replies travel as bytes through gRPC and are parsed by us, so that a malformed message is answered with our
status and a tensor's bytes are never copied into a message object.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from google.protobuf.message import DecodeError, Message

from dnn_surgery.errors import TensorError
from dnn_surgery.protocol.stubs import open_inference_pb2 as oip
from dnn_surgery.protocol.stubs import surgery_pb2 as own

INFERENCE_SERVICE = "inference.GRPCInferenceService"
SURGERY_SERVICE = "dnn_surgery.v1.Surgery"

# A request with the first key has its arrival acknowledged, by initial metadata with the second one, which are sent
# before anything is computed: so a client learns when its upload has ended.
ACKNOWLEDGE, ACKNOWLEDGED = "dnn-surgery-acknowledge", "dnn-surgery-received"

RequestT = TypeVar("RequestT", bound=Message)
ReplyT = TypeVar("ReplyT", bound=Message)
MessageT = TypeVar("MessageT", bound=Message)


@dataclass(frozen=True, slots=True)
class Method(Generic[RequestT, ReplyT]):
    """One unary call."""

    service: str
    name: str
    request: type[RequestT]
    reply: type[ReplyT]

    @property
    def path(self) -> str:
        """The call's name on the wire, ``/package.Service/Call``."""
        return f"/{self.service}/{self.name}"


SERVER_LIVE = Method(INFERENCE_SERVICE, "ServerLive", oip.ServerLiveRequest, oip.ServerLiveResponse)
SERVER_READY = Method(INFERENCE_SERVICE, "ServerReady", oip.ServerReadyRequest, oip.ServerReadyResponse)
MODEL_READY = Method(INFERENCE_SERVICE, "ModelReady", oip.ModelReadyRequest, oip.ModelReadyResponse)
SERVER_METADATA = Method(INFERENCE_SERVICE, "ServerMetadata", oip.ServerMetadataRequest, oip.ServerMetadataResponse)
MODEL_METADATA = Method(INFERENCE_SERVICE, "ModelMetadata", oip.ModelMetadataRequest, oip.ModelMetadataResponse)
MODEL_CONFIG = Method(INFERENCE_SERVICE, "ModelConfig", oip.ModelConfigRequest, oip.ModelConfigResponse)
MODEL_INFER = Method(INFERENCE_SERVICE, "ModelInfer", oip.ModelInferRequest, oip.ModelInferResponse)
CLOUD_PROFILE = Method(SURGERY_SERVICE, "CloudProfile", own.CloudProfileRequest, own.CloudProfileReply)
BUNDLE = Method(SURGERY_SERVICE, "Bundle", own.BundleRequest, own.BundleReply)
PROBE = Method(SURGERY_SERVICE, "Probe", own.ProbeRequest, own.ProbeReply)

ALL: tuple[Method[Any, Any], ...] = (
    *(SERVER_LIVE, SERVER_READY, MODEL_READY, SERVER_METADATA, MODEL_METADATA, MODEL_CONFIG, MODEL_INFER),
    *(CLOUD_PROFILE, BUNDLE, PROBE),
)


def parse(kind: type[MessageT], message: bytes) -> MessageT:
    """The message in these bytes.

    Raises:
        TensorError: they are no such message.
    """
    try:
        return kind.FromString(message)
    except DecodeError as error:
        raise TensorError(f"malformed {kind.__name__} message of {len(message)} bytes") from error
