"""Sessions of ONNX Runtime: options, providers, and errors in one line."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from dnn_surgery.errors import InputError, ModelError, TensorError
from dnn_surgery.execution.engine import Array

Provider = str | tuple[str, dict[str, Any]]


def runtime() -> Any:
    """The installed onnxruntime.

    Raises:
        InputError: there is none; the message says which to install.
    """
    try:
        import onnxruntime
    except ImportError as error:
        raise InputError(
            "ONNX models need ONNX Runtime: pip install dnn-surgery[onnx-cpu], or beside dnn-surgery[onnx] the wheel "
            "for your device (onnxruntime-gpu, onnxruntime-openvino, NVIDIA's for Jetson)"
        ) from error
    return onnxruntime


def default_threads() -> int:
    """OMP_NUM_THREADS where it is set, as for torch; else the processors that this process may use."""
    asked = os.environ.get("OMP_NUM_THREADS", "")
    if asked.isdigit() and int(asked) > 0:
        return int(asked)
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def choose_providers(device: str, providers: Sequence[str] | None) -> list[Provider]:
    """Execution providers as ONNX Runtime takes them: those asked for, or those that stand for a device.

    Raises:
        InputError: this ONNX Runtime has no such provider.
    """
    available = runtime().get_available_providers()
    kind, _, number = device.partition(":")
    if providers:
        wanted: list[Provider] = list(providers)
    elif kind == "cuda" or (device == "auto" and "CUDAExecutionProvider" in available):
        wanted = [("CUDAExecutionProvider", {"device_id": number or "0"}), "CPUExecutionProvider"]
    elif device in ("auto", "cpu"):
        wanted = ["CPUExecutionProvider"]
    else:
        wanted = [device, "CPUExecutionProvider"]
    for provider in wanted:
        name = provider if isinstance(provider, str) else provider[0]
        if name not in available:
            raise InputError(f"no device {name!r} here: this ONNX Runtime has {', '.join(available)}")
    return wanted


def make_session(
    model: bytes,
    folder: Path,
    *,
    threads: int,
    providers: Sequence[Provider],
    optimised: bool = True,
    shared: Mapping[str, Any] | None = None,
) -> Any:
    """A session of a part whose weights lie in `folder`. Without `optimised` it runs every operator as written.

    Where weights are `shared`, they are used as they lie there, and no others are re-ordered for the kernels either;
    whoever calls keeps them as long as the session.

    Raises:
        ModelError: ONNX Runtime does not take the model.
    """
    ort = runtime()
    options = ort.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
    # Threads of one session would spin while the next one runs.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    # Relative to this folder the runtime maps weights itself: given in the model, each session kept them twice.
    options.add_session_config_entry("session.model_external_initializers_file_folder_path", str(folder))
    # An arena of each session would keep the largest amount that its segment ever used.
    options.enable_cpu_mem_arena = False
    options.log_severity_level = 4
    if shared is not None or not optimised:
        options.add_session_config_entry("session.disable_prepacking", "1")
    for name, value in (shared or {}).items():
        options.add_initializer(name, value)
    if not optimised:
        options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    try:
        return ort.InferenceSession(model, options, providers=list(providers))
    except Exception as error:  # the runtime's errors have no common root
        raise ModelError(
            f"ONNX Runtime {ort.__version__} does not take the model: {' '.join(str(error).split())[:300]}"
        ) from error


def run_session(session: Any, outputs: Sequence[str], inputs: Mapping[str, Array]) -> dict[str, Array]:
    """The outputs by name.

    Raises:
        TensorError: the model does not take these tensors, such as sizes that do not fit each other.
    """
    try:
        results = session.run(list(outputs), dict(inputs))
    except Exception as error:  # the runtime's errors have no common root
        text = " ".join(str(error).split())[:300]
        raise TensorError(f"{', '.join(inputs)}: ONNX Runtime cannot run on these tensors: {text}") from error
    return dict(zip(outputs, results, strict=True))
