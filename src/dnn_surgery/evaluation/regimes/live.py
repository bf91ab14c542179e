"""Runs chosen regimes for real: `serve`, a shaped link and one `run` for each camera, as processes, on real frames.

The device is emulated: `run --emulate-slowdown` does its work so many times over. Several cameras are devices of their
own on one link, each stopped for so much of the time that it is as slow. What sends nothing shares nothing, so
edge-only is run by one of them alone.
"""

from __future__ import annotations

import hashlib
import json
import statistics
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from dnn_surgery.calibration.answers import same_boxes
from dnn_surgery.errors import UnreachableError
from dnn_surgery.evaluation.cloud_process import CloudProcess
from dnn_surgery.evaluation.regimes.camera_process import Camera, running, throttled, wait_for
from dnn_surgery.evaluation.regimes.search import Found, Regime, Way
from dnn_surgery.evaluation.regimes.ways import Prepared
from dnn_surgery.model.boxes import Boxes
from dnn_surgery.network.shaping import ShapedLink

Answer = Mapping[str, Any]
Report = Callable[[str], None]

# Frames that fill the pipeline and build its parts, of each camera; then so many seconds and frames are measured.
_WARMUP = 4
_SECONDS = 7.0
_FRAMES = 12
_MOST_SECONDS = 45.0


@dataclass(frozen=True, slots=True)
class Seen:
    """One way in one regime: as predicted, and as measured. `agreeing` of `frames` answers are the unsplit model's;
    `by_edge` were to come from the cloud and did not."""

    way: Way
    predicted_s: float
    measured_s: float
    sent_bytes: float
    frames: int
    agreeing: int
    by_edge: int


@dataclass(frozen=True, slots=True)
class Live:
    """A regime that was run: the split first, then the alternatives; `unrun` were only predicted."""

    found: Found
    seen: tuple[Seen, ...]
    unrun: tuple[Way, ...] = ()

    @property
    def margin(self) -> float:
        """How many times better the split was than the best alternative that was run."""
        return min(one.measured_s for one in self.seen[1:]) / self.seen[0].measured_s

    @property
    def best_alternative(self) -> Seen:
        """Of those that were run."""
        return min(self.seen[1:], key=lambda one: one.measured_s)


class LiveRuns:
    """Runs regimes of one case against one server; a context manager that holds the server. What was
    measured is kept in `folder`.

    Raises:
        UnreachableError: the server, or a device, does not come up; its own words are part of the error.
    """

    def __init__(self, prepared: Prepared, folder: Path, report: Report) -> None:
        self.prepared, self._report = prepared, report
        self._expected: dict[str, Answer] | None = None
        self._stack = ExitStack()
        self._address: str | None = None
        self._kept = folder / "live"
        self._digest = hashlib.sha256(prepared.profile.read_bytes()).hexdigest()
        options = ["--profile", str(prepared.profile)]
        for path in prepared.codecs:
            options += ["--codec", str(path)]
        self._cloud = CloudProcess(prepared.model, options=options)

    def __enter__(self) -> LiveRuns:
        return self

    def __exit__(self, *error: Any) -> None:
        self._stack.close()

    def run(self, found: Found, rivals: Sequence[Way], unrun: Sequence[Way] = ()) -> Live:
        """The regime's split, then each rival."""
        return Live(found, tuple(self._seen(found.regime, way) for way in (found.split, *rivals)), tuple(unrun))

    def _seen(self, regime: Regime, way: Way) -> Seen:
        """From the folder, else measured and kept there: a run that is stopped goes on where it was."""
        said = json.dumps([self.prepared.case.name, asdict(way), asdict(regime), self._digest], sort_keys=True)
        path = self._kept / f"{hashlib.sha256(said.encode()).hexdigest()[:24]}.json"
        if path.exists():
            return Seen(way, **json.loads(path.read_text(encoding="utf-8")))
        seen = self._measured(regime, way)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(
            json.dumps({key: getattr(seen, key) for key in Seen.__slots__ if key != "way"}), encoding="utf-8"
        )
        return seen

    def _cloud_address(self) -> str:
        """Of the server, which is started when it is first needed."""
        if self._address is None:
            self._address = self._stack.enter_context(self._cloud).address
        return self._address

    def _expect(self) -> Mapping[str, Answer]:
        """The unsplit network's answers, as `run --local` prints them."""
        if self._expected is None:
            self._report(f"{self.prepared.case.name}: answers of the unsplit network")
            with self._cameras(["--local"], 1) as (camera,):
                camera.process.wait()
                wait_for(lambda: camera.ended)
                self._expected = {record["frame"]: record for record in camera.records}
        return self._expected

    def _measured(self, regime: Regime, way: Way) -> Seen:
        expected = self._expect()
        self._report(f"{self.prepared.case.name}: {way.title} at {regime.bandwidth_bps / 1e6:g} Mbit/s")
        flags = [] if regime.cameras > 1 else ["--emulate-slowdown", f"{regime.slowdown:g}"]
        if regime.objective == "latency":
            flags += ["--in-flight", "1"]
        if way.kind == "edge":
            with self._cameras([*flags, "--local"], 1) as cameras:
                return self._measure(regime, way, cameras, expected)
        delay_s = regime.rtt_s / 2
        with ShapedLink(self._cloud_address(), up_bps=regime.bandwidth_bps, delay_s=delay_s) as link:
            flags += self._sending(regime, way, link.address)
            with self._cameras(flags, regime.cameras) as cameras:
                return self._measure(regime, way, cameras, expected)

    def _sending(self, regime: Regime, way: Way, address: str) -> list[str]:
        share_bps = regime.bandwidth_bps / regime.cameras
        flags = ["--server", address, "--cut", way.cut, "--bandwidth", f"{share_bps:.0f}bit/s"]
        flags += ["--rtt", f"{regime.rtt_s}s", "--objective", regime.objective, "--deadline", "60s"]
        flags += ["--profile", str(self.prepared.profile)]
        accuracy = self.prepared.case.accuracy
        if accuracy is not None:
            flags += ["--accuracy", f"{accuracy:g}", "--calibration", str(self.prepared.footage.judge)]
        return flags

    @contextmanager
    def _cameras(self, flags: Sequence[str], count: int) -> Iterator[list[Camera]]:
        model, play = self.prepared.model, str(self.prepared.footage.play)
        command = [sys.executable, "-m", "dnn_surgery", "run", model, "--source", play, "--threads", "1", "--json"]
        command += flags
        for path in self.prepared.codecs:
            command += ["--codec", str(path)]
        with ExitStack() as stack:
            yield [stack.enter_context(running(command)) for _ in range(count)]

    def _measure(self, regime: Regime, way: Way, cameras: Sequence[Camera], expected: Mapping[str, Answer]) -> Seen:
        """From when every camera is warm to when one has no frames left, or enough were seen."""
        wait_for(lambda: sum(_is_warm(one, hold=len(cameras) > 1) for one in cameras) == len(cameras))
        with ExitStack() as stack:
            if regime.cameras > 1:
                for one in cameras:
                    stack.enter_context(throttled(one, regime.slowdown))
                slow = [len(one.records) + _WARMUP for one in cameras]
                wait_for(lambda: all(one.has_answered(least) for one, least in zip(cameras, slow, strict=True)))
            return self._window(regime, way, cameras, expected)

    def _window(self, regime: Regime, way: Way, cameras: Sequence[Camera], expected: Mapping[str, Answer]) -> Seen:
        """What happens from now on."""
        begin_s = time.perf_counter()
        first = [len(one.records) - 1 for one in cameras]

        def enough() -> bool:
            seconds, frames = time.perf_counter() - begin_s, [len(one.records) for one in cameras]
            least = min(now - start for now, start in zip(frames, first, strict=True))
            return (
                any(one.ended for one in cameras)
                or seconds > _MOST_SECONDS
                or (seconds > _SECONDS and least >= _FRAMES)
            )

        wait_for(enough)
        last = [len(one.records) - 1 for one in cameras]
        kept = [one.records[a + 1 : b + 1] for one, a, b in zip(cameras, first, last, strict=True)]
        records = [record for some in kept for record in some]
        if not all(kept):
            raise UnreachableError(f"{way.title}: no frames were answered in the time that was measured")
        if regime.objective == "latency":
            measured_s = statistics.median(record["latency_s"] for record in records)
        else:
            spans = zip(cameras, first, last, strict=True)
            measured_s = statistics.fmean((one.times_s[b] - one.times_s[a]) / (b - a) for one, a, b in spans)
        wanted = "edge" if way.kind == "edge" else "cloud"
        return Seen(
            way=way,
            predicted_s=regime.cost_s(way),
            measured_s=measured_s,
            sent_bytes=statistics.fmean(record["sent_bytes"] for record in records),
            frames=len(records),
            agreeing=sum(same_answer(expected[record["frame"]], record) for record in records),
            by_edge=sum(record["finished_by"] != wanted for record in records),
        )


def _is_warm(camera: Camera, *, hold: bool) -> bool:
    """Held so that it does not use up its frames while others start."""
    warm = camera.has_answered(_WARMUP)
    if warm and hold:
        camera.hold()
    return warm


def same_answer(expected: Answer, found: Answer) -> bool:
    """Whether two lines of ``run --json`` hold the same answer, by the guard's rules."""
    if "detections" in expected:
        return same_boxes(_boxes(expected["detections"]), _boxes(found["detections"]))
    if "class" in expected:
        return bool(expected["class"] == found["class"])
    return bool(expected["outputs"] == found["outputs"])


def _boxes(records: Sequence[Mapping[str, Any]]) -> Boxes:
    return Boxes(
        np.array([one["box"] for one in records], dtype=np.float64).reshape(-1, 4),
        np.array([one["confidence"] for one in records], dtype=np.float64),
        np.array([one["class"] for one in records], dtype=np.intp),
    )
