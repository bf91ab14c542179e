"""What PyAV is asked for when a camera or a stream is opened; streams of real servers are in test_intake.py."""

from __future__ import annotations

import sys
from collections.abc import Mapping

import av
import pytest
from av.format import ContainerFormat

from dnn_surgery.edge.live_video import CONNECT_TIMEOUT_S, READ_TIMEOUT_S, is_live, open_live
from dnn_surgery.errors import SourceError


@pytest.mark.parametrize(
    ("platform", "url", "expected"),
    [
        ("linux", "0", ("/dev/video0", "v4l2", {})),
        ("linux", "2", ("/dev/video2", "v4l2", {})),
        ("darwin", "0", ("0", "avfoundation", {})),
        ("win32", "1", ("video=1", "dshow", {})),
        ("freebsd", "0", ("/dev/video0", "v4l2", {})),
        ("linux", "/dev/video7", ("/dev/video7", "v4l2", {})),
        ("linux", "rtsp://gate/sub", ("rtsp://gate/sub", None, {"rtsp_transport": "tcp", "fflags": "nobuffer"})),
        ("linux", "tcp://gate:9000", ("tcp://gate:9000", None, {})),
    ],
)
def test_what_is_opened(
    platform: str,
    url: str,
    expected: tuple[str, str | None, Mapping[str, str]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked: list[tuple[object, ...]] = []

    def open_(what: str, **flags: object) -> None:
        asked.append((what, flags["format"], flags["options"], flags["timeout"]))
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(sys, "platform", platform)
    monkeypatch.setattr(av, "open", open_)
    assert is_live(url)
    with pytest.raises(SourceError, match=r"Input/output error$"), open_live(url):
        pass
    assert asked == [(*expected, (CONNECT_TIMEOUT_S, READ_TIMEOUT_S))]


@pytest.mark.skipif(sys.platform != "linux", reason="names the format of Linux")
def test_ffmpeg_has_what_reads_the_cameras_of_this_system() -> None:
    """A build without it would call every camera missing."""
    assert ContainerFormat("v4l2", "r").is_input


def test_a_password_in_a_url_is_never_said() -> None:
    with pytest.raises(SourceError) as caught, open_live("rtsp://me:secret@127.0.0.1:1/sub"):
        pass
    assert "secret" not in str(caught.value)
    assert str(caught.value).startswith("rtsp://127.0.0.1:1/sub: ")
    assert "\n" not in str(caught.value)
