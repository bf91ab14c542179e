"""Names of datatypes: the protocol's (``FP32``) and a graph's (``float32``)."""

from __future__ import annotations

from typing import Any

import numpy as np

from dnn_surgery.errors import TensorError

_DTYPES = {
    "BOOL": "bool",
    "UINT8": "uint8",
    "UINT16": "uint16",
    "UINT32": "uint32",
    "UINT64": "uint64",
    "INT8": "int8",
    "INT16": "int16",
    "INT32": "int32",
    "INT64": "int64",
    "FP16": "float16",
    "FP32": "float32",
    "FP64": "float64",
    "BF16": "bfloat16",
}
_DATATYPES = {dtype: datatype for datatype, dtype in _DTYPES.items()}


def to_dtype(datatype: str, tensor: str) -> str:
    """``FP32`` -> ``float32``. `tensor` names the tensor in the error.

    Raises:
        TensorError: the protocol has no such datatype, or it holds no numbers (``BYTES``).
    """
    try:
        return _DTYPES[datatype]
    except KeyError:
        raise TensorError(
            f"tensor {tensor!r} has datatype {datatype!r}, expected one of {', '.join(_DTYPES)}"
        ) from None


def to_datatype(dtype: str, tensor: str) -> str:
    """``float32`` -> ``FP32``. `tensor` names the tensor in the error.

    Raises:
        TensorError: such numbers cannot travel.
    """
    try:
        return _DATATYPES[dtype]
    except KeyError:
        raise TensorError(f"tensor {tensor!r} of datatype {dtype} cannot be sent over the wire") from None


def array_dtype(dtype: str) -> np.dtype[Any]:
    """The little-endian numpy type that holds `dtype` on the wire (bfloat16 as uint16)."""
    kind: np.dtype[Any] = np.dtype("uint16" if dtype == "bfloat16" else dtype).newbyteorder("<")
    return kind
