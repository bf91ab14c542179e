"""Processes that are read, held, throttled and ended."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from dnn_surgery.errors import UnreachableError
from dnn_surgery.evaluation.regimes.camera_process import Camera, running, throttled, wait_for

TALKS = (sys.executable, "-u", "-c", "import json\nfor n in range(10**9): print(json.dumps({'frame': n}))")
FAILS = (sys.executable, "-c", "import sys\nprint('{\"frame\": 0}'); sys.exit('no such camera')")


def state(camera: Camera) -> str:
    """R, S, T (stopped) ..., as the system says."""
    return Path(f"/proc/{camera.process.pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()[0]


@pytest.mark.skipif(sys.platform != "linux", reason="a process's state is read from /proc")
def test_a_throttled_device_is_stopped_and_goes_on() -> None:
    with running(TALKS) as camera:
        wait_for(lambda: camera.has_answered(3))
        camera.hold()
        wait_for(lambda: state(camera) == "T")
        with throttled(camera, 4.0):
            before = len(camera.records)
            wait_for(lambda: camera.has_answered(before + 100))
            wait_for(lambda: state(camera) == "T")
        after = len(camera.records)
        wait_for(lambda: camera.has_answered(after + 100))
        assert state(camera) != "T"
    assert camera.ended
    assert camera.process.returncode is not None
    assert [record["frame"] for record in camera.records[:3]] == [0, 1, 2]
    assert len(camera.times_s) == len(camera.records)


def test_a_device_that_is_held_can_be_ended() -> None:
    with running(TALKS) as camera:
        wait_for(lambda: camera.has_answered(3))
        camera.hold()
    assert camera.ended


def test_a_device_that_fails_says_why() -> None:
    with running(FAILS) as camera:
        wait_for(lambda: camera.ended)
        assert camera.has_answered(0)
        with pytest.raises(UnreachableError, match="a device ended after 1 frames: no such camera"):
            camera.has_answered(1)
