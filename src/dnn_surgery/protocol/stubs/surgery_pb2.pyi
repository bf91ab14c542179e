from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from typing import ClassVar as _ClassVar, Optional as _Optional

DESCRIPTOR: _descriptor.FileDescriptor

class CloudProfileRequest(_message.Message):
    __slots__ = ("model_name", "fingerprint")
    MODEL_NAME_FIELD_NUMBER: _ClassVar[int]
    FINGERPRINT_FIELD_NUMBER: _ClassVar[int]
    model_name: str
    fingerprint: str
    def __init__(self, model_name: _Optional[str] = ..., fingerprint: _Optional[str] = ...) -> None: ...

class CloudProfileReply(_message.Message):
    __slots__ = ("profile_json",)
    PROFILE_JSON_FIELD_NUMBER: _ClassVar[int]
    profile_json: str
    def __init__(self, profile_json: _Optional[str] = ...) -> None: ...

class BundleRequest(_message.Message):
    __slots__ = ("model_name", "fingerprint", "offset")
    MODEL_NAME_FIELD_NUMBER: _ClassVar[int]
    FINGERPRINT_FIELD_NUMBER: _ClassVar[int]
    OFFSET_FIELD_NUMBER: _ClassVar[int]
    model_name: str
    fingerprint: str
    offset: int
    def __init__(self, model_name: _Optional[str] = ..., fingerprint: _Optional[str] = ..., offset: _Optional[int] = ...) -> None: ...

class BundleReply(_message.Message):
    __slots__ = ("model_name", "fingerprint", "size_bytes", "sha256", "data")
    MODEL_NAME_FIELD_NUMBER: _ClassVar[int]
    FINGERPRINT_FIELD_NUMBER: _ClassVar[int]
    SIZE_BYTES_FIELD_NUMBER: _ClassVar[int]
    SHA256_FIELD_NUMBER: _ClassVar[int]
    DATA_FIELD_NUMBER: _ClassVar[int]
    model_name: str
    fingerprint: str
    size_bytes: int
    sha256: str
    data: bytes
    def __init__(self, model_name: _Optional[str] = ..., fingerprint: _Optional[str] = ..., size_bytes: _Optional[int] = ..., sha256: _Optional[str] = ..., data: _Optional[bytes] = ...) -> None: ...

class ProbeRequest(_message.Message):
    __slots__ = ("payload",)
    PAYLOAD_FIELD_NUMBER: _ClassVar[int]
    payload: bytes
    def __init__(self, payload: _Optional[bytes] = ...) -> None: ...

class ProbeReply(_message.Message):
    __slots__ = ("received_bytes", "server_s")
    RECEIVED_BYTES_FIELD_NUMBER: _ClassVar[int]
    SERVER_S_FIELD_NUMBER: _ClassVar[int]
    received_bytes: int
    server_s: float
    def __init__(self, received_bytes: _Optional[int] = ..., server_s: _Optional[float] = ...) -> None: ...
