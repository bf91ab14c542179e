"""Sources as told on the command line and in lists."""

from pathlib import Path

import pytest

from dnn_surgery.edge.source_specs import SourceSpec, read_sources
from dnn_surgery.errors import SourceError


def test_each_text_is_a_source_called_as_it_is_written() -> None:
    texts = ["0", "rtsp://user:secret@camera/sub", "pictures/", "pictures/"]
    assert read_sources(texts) == [
        SourceSpec("0", "0"),
        SourceSpec("rtsp://camera/sub", "rtsp://user:secret@camera/sub"),
        SourceSpec("pictures/", "pictures/"),
        SourceSpec("pictures/ (2)", "pictures/"),
    ]


def test_a_list_has_rates_priorities_names_and_remarks(tmp_path: Path) -> None:
    (tmp_path / "all.streams").write_text(
        "# the site\n\nrtsp://camera1/sub  name=gate rate=5 priority=2  # the main one\n"
        "rtsp://camera2/sub?rate=9\nmy pictures/*.jpg rate=0.5\n/abs/video.mp4\n2\n"
    )
    assert read_sources([str(tmp_path / "all.streams"), "3"]) == [
        SourceSpec("gate", "rtsp://camera1/sub", 5.0, 2),
        SourceSpec("rtsp://camera2/sub?rate=9", "rtsp://camera2/sub?rate=9"),
        SourceSpec("my pictures/*.jpg", str(tmp_path / "my pictures/*.jpg"), 0.5),
        SourceSpec("/abs/video.mp4", "/abs/video.mp4"),
        SourceSpec("2", "2"),
        SourceSpec("3", "3"),
    ]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", ": the list names no sources"),
        ("# nothing\n", ": the list names no sources"),
        ("\na.mp4 rate=fast\n", ":2: rate must be a positive number of frames a second, got 'fast'"),
        ("a.mp4 rate=0", ":1: rate must be a positive number"),
        ("a.mp4 priority=-1", ":1: priority must be a whole number from 0 on, got '-1'"),
    ],
)
def test_errors_name_file_and_line(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "all.streams"
    path.write_text(text)
    with pytest.raises(SourceError) as caught:
        read_sources([str(path)])
    assert str(caught.value).startswith(f"{path}{message}")


def test_a_list_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="cannot read this list of sources: No such file"):
        read_sources([str(tmp_path / "x.streams")])
