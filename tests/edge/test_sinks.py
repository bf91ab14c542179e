"""Where results go: files that can be read again, functions, videos with what was found drawn into them."""

from __future__ import annotations

import json
from pathlib import Path

import av
import numpy as np
import pytest

from dnn_surgery.edge.detections import Detection
from dnn_surgery.edge.drawing import annotate, color_of
from dnn_surgery.edge.intake import Intake, SourceSpec, TakenFrame
from dnn_surgery.edge.pictures import Pixels
from dnn_surgery.edge.result import Classification, FrameResult
from dnn_surgery.edge.sinks import AnnotatedVideo, Callback, JsonLines, Sinks
from dnn_surgery.edge.video_writer import VideoWriter
from dnn_surgery.errors import InputError
from dnn_surgery.model.graph import ModelGraph
from dnn_surgery.model.reference import load_model

GREY = np.full((120, 160, 3), 128, np.uint8)


def result_of(frame: TakenFrame) -> FrameResult:
    scores = np.zeros((1, 4), np.float32)
    scores[0, frame.index % 4] = 1
    return FrameResult(frame.index, frame.name, {"scores": scores}, "edge", 0.1, 0.1)


@pytest.fixture(scope="module")
def graph() -> ModelGraph:
    return load_model("tests.edge.networks:build", trust_model=True)


def decoded(path: Path) -> tuple[list[Pixels], list[float]]:
    with av.open(str(path)) as container:
        frames = list(container.decode(video=0))
    return [frame.to_ndarray(format="rgb24") for frame in frames], [frame.time for frame in frames]


def near(pixels: Pixels, color: tuple[int, int, int], within: int = 6) -> bool:
    return bool(np.abs(pixels.astype(int).reshape(-1, 3).mean(axis=0) - color).max() < within)


def test_boxes_are_drawn_where_they_are_and_nothing_else_is_touched() -> None:
    box = Detection(1, "bicycle", 0.87, (40.0, 50.0, 100.0, 90.0))
    drawn = annotate(GREY, (box,))
    assert np.array_equal(GREY, np.full_like(GREY, 128))  # the frame itself stays
    for side in (drawn[50:52, 60:100], drawn[89:91, 41:100], drawn[60:90, 40:42], drawn[60:90, 99:101]):
        assert near(side, color_of(1))
    assert np.all(drawn[55:85, 45:95] == 128) and np.all(drawn[95:] == 128)
    assert not np.all(drawn[30:50, 40:100] == 128)  # the label above the box


def test_labels_stay_inside_the_frame_whatever_the_box() -> None:
    for corners in ((-20.0, -30.0, 20.0, 20.0), (150.0, 110.0, 400.0, 300.0), (5.0, 9.0, 5.0, 3.0)):
        drawn = annotate(GREY, (Detection(0, "a label that is far too long for this small frame", 0.5, corners),))
        assert drawn.shape == GREY.shape and not np.array_equal(drawn, GREY)
    drawn = annotate(GREY, Classification(3, "Bullmastiff", 0.7))
    assert near(drawn[0:2, 0:60], color_of(3)) and np.all(drawn[40:] == 128)
    assert np.array_equal(annotate(GREY, None), GREY)
    assert np.array_equal(annotate(GREY, ()), GREY)


def test_several_sinks_get_every_result_in_order(tmp_path: Path, graph: ModelGraph) -> None:
    seen: list[int] = []
    said: list[str] = []
    frames = [np.full((61, 81, 3), 20 * number, np.uint8) for number in range(10)]
    sinks = Sinks(
        [
            JsonLines(tmp_path / "results.jsonl", lambda result: {"index": result.index}),
            Callback(lambda result: seen.append(result.index)),
            AnnotatedVideo(graph, tmp_path / "seen.mp4", rate_hz=10),
        ],
        on_error=said.append,
    )
    with Intake([SourceSpec("a", frames)]) as intake, sinks:
        for frame in sinks.watch(intake):
            sinks.result(result_of(frame))
    assert said == []
    assert seen == list(range(10))
    assert [json.loads(line)["index"] for line in (tmp_path / "results.jsonl").read_text().splitlines()] == seen
    pictures, times_s = decoded(tmp_path / "seen.mp4")
    assert times_s == pytest.approx([number / 10 for number in range(10)], abs=0.002)
    assert pictures[0].shape == (60, 80, 3)
    for number, picture in enumerate(pictures):
        assert near(picture[45:], (20 * number,) * 3)
        assert near(picture[0:2, 0:4], color_of(number % 4), within=40)  # the ground of its label


def test_of_several_sources_each_has_a_video_at_the_times_of_its_frames(tmp_path: Path, graph: ModelGraph) -> None:
    sink = AnnotatedVideo(graph, tmp_path / "seen.mp4", sources=["gate", "rtsp://yard/1"])
    for index in range(6):
        source = ("gate", "rtsp://yard/1")[index % 2]
        frame = TakenFrame(source, index, index // 2, f"{source}#{index}", GREY, 100 + index * 0.25)
        sink.put(result_of(frame), frame)
    sink.close()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["seen.gate.mp4", "seen.rtsp_yard_1.mp4"]
    for path in tmp_path.iterdir():
        assert decoded(path)[1] == pytest.approx([0, 0.5, 1.0], abs=0.002)


def test_a_failing_sink_says_so_once_and_does_not_stop_the_others() -> None:
    said: list[str] = []
    seen: list[int] = []

    def fail(result: FrameResult) -> None:
        raise OSError(f"no room for {result.index}")

    with Sinks([Callback(fail), Callback(lambda result: seen.append(result.index))], on_error=said.append) as sinks:
        for index in range(3):
            sinks.result(result_of(TakenFrame("a", index, index, "", GREY, 0.0)))
    assert seen == [0, 1, 2]
    (line,) = said
    assert line.endswith("fail: no room for 0; it gets no more results")


def test_a_frame_of_another_size_is_scaled_to_the_first(tmp_path: Path) -> None:
    writer = VideoWriter(tmp_path / "video.mp4")
    writer.write(GREY, 0.0)
    writer.write(np.full((30, 50, 3), 200, np.uint8), 0.0)  # and never at the same time
    writer.close()
    pictures, times_s = decoded(tmp_path / "video.mp4")
    assert [picture.shape for picture in pictures] == [(120, 160, 3)] * 2
    assert times_s[1] > times_s[0]
    assert near(pictures[1], (200, 200, 200))


def test_what_cannot_be_written_is_said_at_once(tmp_path: Path, graph: ModelGraph) -> None:
    with pytest.raises(InputError, match="cannot write a video"):
        AnnotatedVideo(graph, tmp_path / "nowhere" / "seen.mp4")
    with pytest.raises(InputError, match="cannot write a video"):
        AnnotatedVideo(graph, tmp_path / "seen.unknown")
    with pytest.raises(InputError, match="cannot be written"):
        JsonLines(tmp_path, lambda _: {})
