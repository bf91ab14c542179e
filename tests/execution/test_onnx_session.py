"""What is installed without a runtime says which one to install."""

from __future__ import annotations

import sys
from pathlib import Path

import onnx
import pytest

from dnn_surgery.cli.main import main
from tests.onnx_files import small_model


def test_without_a_runtime_the_error_names_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    onnx.save(small_model(), tmp_path / "small.onnx")
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    assert main(["profile", str(tmp_path / "small.onnx")]) == 2
    assert capsys.readouterr().err.splitlines() == [
        "dnn-surgery: error: ONNX models need ONNX Runtime: pip install dnn-surgery[onnx-cpu], or beside "
        "dnn-surgery[onnx] the wheel for your device (onnxruntime-gpu, onnxruntime-openvino, NVIDIA's for Jetson)"
    ]
