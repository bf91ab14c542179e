"""Whether the extra is installed that ONNX models need."""

from __future__ import annotations

from dnn_surgery.errors import ModelError


def require_onnx() -> None:
    """Raises:
    ModelError: onnx or onnx-ir is not installed; the message says how to get them.
    """
    try:
        import onnx  # noqa: F401 - whether both are there is the question
        import onnx_ir  # noqa: F401
    except ImportError as error:
        raise ModelError(
            "ONNX models need onnx and a runtime: pip install dnn-surgery[onnx-cpu], or dnn-surgery[onnx] beside the "
            "onnxruntime wheel of your device"
        ) from error
