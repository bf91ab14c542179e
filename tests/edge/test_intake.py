"""Several sources at once, with real threads: no taken frame is lost, skipped ones are counted, and it ends cleanly."""

from __future__ import annotations

import functools
import http.server
import itertools
import re
import threading
import time
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from dnn_surgery.edge.intake import Counts, Intake, SourceSpec, TakenFrame
from dnn_surgery.edge.pictures import Pixels
from dnn_surgery.errors import InputError, SourceError
from tests.edge.streaming import MPEG_TS, RTSP, free_port, process, write_video


def pictures(count: int, value: int = 0) -> Iterator[Pixels]:
    for number in range(count):
        yield np.full((2, 2, 3), (value + number) % 256, np.uint8)


def by_source(frames: list[TakenFrame]) -> dict[str, list[int]]:
    indices = defaultdict(list)
    for frame in frames:
        indices[frame.source].append(frame.source_index)
    return dict(indices)


def names_of_threads() -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name.startswith("source ")]


def test_every_frame_of_sources_without_a_rate_is_taken_once_and_in_order() -> None:
    specs = [
        SourceSpec("a", pictures(30)),
        SourceSpec("b", pictures(20, 100), priority=3),
        SourceSpec("c", pictures(0)),
    ]
    with Intake(specs) as intake:
        frames = list(intake)
    assert [frame.index for frame in frames] == list(range(50))
    assert by_source(frames) == {"a": list(range(30)), "b": list(range(20))}
    assert [int(frame.pixels[0, 0, 0]) for frame in frames if frame.source == "b"] == list(range(100, 120))
    assert all(earlier.taken_s <= later.taken_s for earlier, later in itertools.pairwise(frames))
    assert intake.counts() == {"a": Counts(30, 0, 30), "b": Counts(20, 0, 20), "c": Counts()}
    assert names_of_threads() == []


def test_a_source_waits_for_the_consumer_and_reads_no_more_than_one_ahead() -> None:
    read = []

    def watched() -> Iterator[Pixels]:
        for number, pixels in enumerate(pictures(10)):
            read.append(number)
            yield pixels

    with Intake([SourceSpec("a", watched())]) as intake:
        for frame in intake:
            # One taken, one waits, one is read and finds no room.
            assert len(read) <= frame.index + 3
    assert len(read) == 10


@pytest.mark.parametrize("overload", ["skip", "lower-rate"])
def test_a_live_source_skips_the_older_frame_and_counts_it(overload: str) -> None:
    ended = threading.Event()

    def source() -> Iterator[Pixels]:
        yield from pictures(50)
        ended.set()

    with Intake([SourceSpec("live", source(), rate_hz=1e6)], overload=overload) as intake:  # type: ignore[arg-type]
        assert ended.wait(60)
        frames = list(intake)
    assert [frame.source_index for frame in frames] == [49]
    assert intake.counts() == {"live": Counts(offered=50, skipped=49, taken=1)}


def test_with_block_a_live_source_loses_nothing() -> None:
    with Intake([SourceSpec("live", pictures(50), rate_hz=1e6)], overload="block") as intake:
        frames = list(intake)
    assert [frame.source_index for frame in frames] == list(range(50))
    assert intake.counts()["live"].skipped == 0


def test_a_rate_is_not_exceeded() -> None:
    started_s = time.monotonic()
    with Intake([SourceSpec("live", pictures(11), rate_hz=50)]) as intake:
        frames = list(intake)
    assert time.monotonic() - started_s >= 10 / 50
    assert intake.counts()["live"].offered == 11
    assert len(frames) + intake.counts()["live"].skipped == 11


def test_rates_are_lowered_to_what_works_and_that_is_said() -> None:
    notices: list[str] = []
    specs = [SourceSpec("gate", pictures(10**6), 200, priority=2), SourceSpec("yard", pictures(10**6), 200)]
    with Intake(specs, overload="lower-rate", on_notice=notices.append) as intake:
        for frame in intake:
            time.sleep(0.02)  # the consumer's work
            if notices and frame.index > 30:
                break
        assert sum(intake.rates_hz.values()) < 50
        assert intake.rates_hz["gate"] == pytest.approx(3 * intake.rates_hz["yard"])
        throughput_hz = intake.throughput_hz
    assert throughput_hz is not None and throughput_hz <= 50
    assert "frames/s are managed: rates are now gate" in notices[0]
    assert sum(intake.rate_that_works(10).values()) == pytest.approx(10)


def test_skipping_says_once_what_rate_would_work() -> None:
    notices: list[str] = []
    with Intake([SourceSpec("gate", pictures(10**6), 200)], on_notice=notices.append) as intake:
        for frame in intake:
            time.sleep(0.02)
            if frame.index == 20:
                break
    (notice,) = notices
    assert notice.startswith("frames are skipped, ")
    assert "rates that would work: gate " in notice


def test_closing_from_another_thread_ends_the_iteration_and_every_thread() -> None:
    specs = [SourceSpec("busy", pictures(10**9), rate_hz=100), SourceSpec("slow", pictures(5), rate_hz=0.01)]
    with Intake(specs) as intake:
        frames = []
        for frame in intake:
            frames.append(frame)
            if len(frames) == 5:
                threading.Thread(target=intake.close).start()
    counts = intake.counts()
    assert len(frames) >= 5 and sum(count.taken for count in counts.values()) == len(frames)
    assert all(count.offered == count.skipped + count.taken for count in counts.values())
    assert names_of_threads() == []


def test_a_failing_source_raises_once_its_frames_are_taken() -> None:
    def breaks() -> Iterator[Pixels]:
        yield from pictures(3)
        raise RuntimeError("the robot fell over")

    frames: list[TakenFrame] = []
    with Intake([SourceSpec("a", breaks())]) as intake, pytest.raises(RuntimeError, match="fell over"):
        frames.extend(frame for frame in intake)
    assert len(frames) == 3
    assert names_of_threads() == []


def test_what_cannot_be_read_is_told_and_the_others_go_on(tmp_path: Path) -> None:
    video = write_video(tmp_path / "video.mp4", 20)
    video.write_bytes(video.read_bytes()[: video.stat().st_size // 2])
    told: list[SourceError] = []
    bad = np.zeros((2, 2), np.uint8)
    with Intake([SourceSpec("bad", [bad]), SourceSpec("good", pictures(5))], on_error=told.append) as intake:
        assert by_source(list(intake)) == {"good": list(range(5))}
    assert ["expected uint8" in str(error) for error in told] == [True]
    with Intake([SourceSpec("bad", [bad])]) as intake, pytest.raises(SourceError, match="expected uint8"):
        list(intake)
    with pytest.raises(SourceError, match="no such file"), Intake([SourceSpec("x", str(tmp_path / "x.mp4"))]):
        pass
    assert names_of_threads() == []


def test_a_video_file_plays_at_its_rate_or_as_fast_as_it_is_pulled(tmp_path: Path) -> None:
    video = write_video(tmp_path / "video.mp4", 12)
    with Intake([SourceSpec("video", video)]) as intake:
        assert [frame.name for frame in intake] == [f"{video}#{number}" for number in range(12)]
    started_s = time.monotonic()
    with Intake([SourceSpec("video", video, rate_hz=60)], overload="block") as intake:
        assert len(list(intake)) == 12
    assert time.monotonic() - started_s >= 11 / 60


@pytest.mark.parametrize(
    ("specs", "overload", "message"),
    [
        ([], "skip", "no sources"),
        ([SourceSpec("a", []), SourceSpec("a", [])], "skip", "two sources are called a"),
        ([SourceSpec("a", [], rate_hz=0)], "skip", "rate of source a must be positive"),
        ([SourceSpec("a", [], priority=-1)], "skip", "priority of source a must be 0 or higher"),
        ([SourceSpec("a", [])], "panic", "overload must be skip, lower-rate, block, got 'panic'"),
    ],
)
def test_what_makes_no_sense_is_refused(specs: list[SourceSpec], overload: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        Intake(specs, overload=overload)  # type: ignore[arg-type]


def take_until_back(url: str, kill: threading.Event, lost: threading.Event) -> list[TakenFrame]:
    """Has the server killed after ten frames, and takes ten more after the source said that it is back."""
    back = threading.Event()

    def note(text: str) -> None:
        if "source camera is lost: " in text and kill.is_set():
            lost.set()
        if "source camera is back" in text and lost.is_set():
            back.set()

    frames = []
    after = 0
    with Intake([SourceSpec("camera", url)], on_notice=note) as intake:
        for frame in intake:
            frames.append(frame)
            after += back.is_set()
            if len(frames) == 10:
                kill.set()
            if after == 10:
                break
    return frames


@pytest.mark.parametrize("kind", ["rtsp", "mpegts"])
def test_frames_go_on_after_the_server_was_killed(tmp_path: Path, kind: str) -> None:
    """A real RTSP server, and MPEG-TS over TCP; killed in mid-stream and started again at the same port."""
    port = free_port()
    arguments: tuple[str, ...]
    if kind == "rtsp":
        write_video(tmp_path / "gate.mp4")
        url, code, arguments = f"rtsp://127.0.0.1:{port}/gate.mp4", RTSP, (str(tmp_path), str(port))
    else:
        url, code, arguments = f"tcp://127.0.0.1:{port}", MPEG_TS, (str(port),)
    kill, lost, done = threading.Event(), threading.Event(), threading.Event()

    def serve() -> None:
        with process(code, *arguments) as server:
            assert kill.wait(120)
            server.kill()
        assert lost.wait(120)
        with process(code, *arguments):
            assert done.wait(120)

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        frames = take_until_back(url, kill, lost)
    finally:
        for event in (kill, lost, done):
            event.set()
        thread.join()
    assert [frame.index for frame in frames] == list(range(len(frames)))
    assert frames[0].pixels.shape == ((120, 160, 3) if kind == "rtsp" else (48, 64, 3))
    assert names_of_threads() == []


def test_a_camera_that_is_not_there_is_said_in_one_line_and_tried_again() -> None:
    notices: list[str] = []
    said = threading.Event()

    def note(text: str) -> None:
        notices.append(text)
        said.set()

    with Intake([SourceSpec("door", "99")], on_notice=note) as intake:
        assert said.wait(60)
        intake.close()
        assert list(intake) == []
    (notice,) = notices
    assert re.fullmatch(r"source door is lost: camera 99 \(/dev/video99\): .+; trying again until it is back", notice)


def test_a_camera_that_is_not_there_is_said_once_and_does_not_hold_up_the_others() -> None:
    notices: list[str] = []
    specs = [SourceSpec("camera", "99"), SourceSpec("folder", pictures(5))]
    with Intake(specs, on_notice=notices.append) as intake:
        frames = []
        for frame in intake:
            frames.append(frame)
            if len(frames) == 5:
                break
    assert by_source(frames) == {"folder": list(range(5))}
    assert len(notices) <= 1


def test_a_recording_over_http_ends_with_its_last_frame(tmp_path: Path) -> None:
    """Matroska says how long it is, so its end is an end; a stream's would be a loss."""
    write_video(tmp_path / "recording.mkv", 15)
    handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=str(tmp_path))
    notices: list[str] = []
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        url = f"http://127.0.0.1:{server.server_port}/recording.mkv"
        try:
            with Intake([SourceSpec("web", url)], on_notice=notices.append) as intake:
                assert [frame.name for frame in intake] == [f"web#{number}" for number in range(15)]
        finally:
            server.shutdown()
            thread.join()
    assert notices == []
