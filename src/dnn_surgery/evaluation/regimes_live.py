"""Runs chosen regimes for real: `serve`, a shaped link and one `run` for each camera, as processes, on real frames.

The device is emulated: `run --emulate-slowdown` does its work so many times over. Cameras are devices of their own on
one link; what sends nothing shares nothing, so edge-only is run by one of them alone.
"""

from __future__ import annotations

import json
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import IO, Any

import numpy as np

from dnn_surgery.calibration.answers import same_boxes
from dnn_surgery.errors import UnreachableError
from dnn_surgery.evaluation.cloud_process import CloudProcess
from dnn_surgery.evaluation.regimes import Found, Regime, Way
from dnn_surgery.evaluation.regimes_ways import Prepared
from dnn_surgery.model.boxes import Boxes
from dnn_surgery.network.shaping import ShapedLink

Answer = Mapping[str, Any]
Report = Callable[[str], None]

# Frames that fill the pipeline and build its parts, of each camera; then so many seconds and frames are measured.
_WARMUP = 4
_SECONDS = 12.0
_FRAMES = 12
_MOST_SECONDS = 45.0
# Loading a network, reading the frames to calibrate with, connecting.
_START_SECONDS = 180.0


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


@dataclass
class _Camera:
    """A `run` process and the lines that it has printed, with the seconds at which they came."""

    process: subprocess.Popen[str]
    log: IO[str]
    times_s: list[float] = field(default_factory=list)
    records: list[dict[str, Any]] = field(default_factory=list)
    ended: bool = False

    def read(self) -> None:
        for line in self.process.stdout or ():
            self.times_s.append(time.perf_counter())
            self.records.append(json.loads(line))
        self.ended = True

    def words(self) -> str:
        """The last that it said on stderr."""
        self.log.seek(0)
        return " ".join(self.log.read().split()[-40:])


class LiveRuns:
    """Runs regimes of one case against one server; a context manager that holds the server.

    Raises:
        UnreachableError: the server, or a device, does not come up; its own words are part of the error.
    """

    def __init__(self, prepared: Prepared, report: Report) -> None:
        self.prepared, self._report = prepared, report
        self._expected: dict[str, Answer] | None = None
        options = ["--profile", str(prepared.profile)]
        for path in prepared.codecs:
            options += ["--codec", str(path)]
        self._cloud = CloudProcess(prepared.model, options=options)

    def __enter__(self) -> LiveRuns:
        self._cloud.__enter__()
        return self

    def __exit__(self, *error: Any) -> None:
        self._cloud.__exit__(*error)

    def run(self, found: Found, rivals: Sequence[Way], unrun: Sequence[Way] = ()) -> Live:
        """The regime's split, then each rival."""
        if self._expected is None:
            self._report(f"{self.prepared.case.name}: answers of the unsplit network")
            self._expected = {record["frame"]: record for record in self._whole()}
        return Live(found, tuple(self._seen(found.regime, way) for way in (found.split, *rivals)), tuple(unrun))

    def _whole(self) -> list[dict[str, Any]]:
        with self._cameras(["--local"], 1) as cameras:
            cameras[0].process.wait()
            _wait(lambda: cameras[0].ended)
            return cameras[0].records

    def _seen(self, regime: Regime, way: Way) -> Seen:
        self._report(f"{self.prepared.case.name}: {way.title} at {regime.bandwidth_bps / 1e6:g} Mbit/s")
        flags = ["--emulate-slowdown", f"{regime.slowdown:g}"]
        if regime.objective == "latency":
            flags += ["--in-flight", "1"]
        if way.kind == "edge":
            with self._cameras([*flags, "--local"], 1) as cameras:
                return self._measure(regime, way, cameras)
        delay_s = regime.rtt_s / 2
        with ShapedLink(self._cloud.address, up_bps=regime.bandwidth_bps, delay_s=delay_s) as link:
            flags += self._sending(regime, way, link.address)
            with self._cameras(flags, regime.cameras) as cameras:
                return self._measure(regime, way, cameras)

    def _sending(self, regime: Regime, way: Way, address: str) -> list[str]:
        share_bps = regime.bandwidth_bps / regime.cameras
        flags = ["--server", address, "--cut", way.cut, "--bandwidth", f"{share_bps:.0f}bit/s"]
        flags += ["--rtt", f"{regime.rtt_s}s", "--objective", regime.objective, "--deadline", "60s"]
        flags += ["--profile", str(self.prepared.profile)]
        accuracy = self.prepared.case.accuracy
        if accuracy is not None and way.kind != "float32":
            flags += ["--accuracy", f"{accuracy:g}", "--calibration", str(self.prepared.judge)]
        return flags

    @contextmanager
    def _cameras(self, flags: Sequence[str], count: int) -> Iterator[list[_Camera]]:
        model, judge = self.prepared.model, str(self.prepared.judge)
        command = [
            sys.executable,
            "-m",
            "dnn_surgery",
            "run",
            model,
            "--source",
            judge,
            "--threads",
            "1",
            "--json",
            *flags,
        ]
        for path in self.prepared.codecs:
            command += ["--codec", str(path)]
        with ExitStack() as stack:
            yield [stack.enter_context(_running(command)) for _ in range(count)]

    def _measure(self, regime: Regime, way: Way, cameras: Sequence[_Camera]) -> Seen:
        """From when every camera is warm to when one has no frames left, or enough were seen."""
        _wait(lambda: all(len(one.records) > _WARMUP or one.ended for one in cameras), cameras)
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

        _wait(enough)
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
            agreeing=sum(same_answer((self._expected or {})[record["frame"]], record) for record in records),
            by_edge=sum(record["finished_by"] != wanted for record in records),
        )


@contextmanager
def _running(command: Sequence[str]) -> Iterator[_Camera]:
    """A `run` process while the context is open; then a signal ends it, and its answers are waited for."""
    with tempfile.TemporaryFile("w+") as log:
        process = subprocess.Popen(  # noqa: S603 - our own command
            command, stdout=subprocess.PIPE, stderr=log, text=True, env={**os.environ, "OMP_NUM_THREADS": "1"}
        )
        camera = _Camera(process, log)
        reader = threading.Thread(target=camera.read, daemon=True)
        reader.start()
        try:
            yield camera
        finally:
            # The second one does not wait for the frames under way, which nobody looks at.
            for wait_s in (2.0, 10.0):
                process.send_signal(signal.SIGINT)
                try:
                    process.wait(wait_s)
                    break
                except subprocess.TimeoutExpired:
                    continue
            else:
                process.kill()
                process.wait()
            reader.join()


def _wait(done: Callable[[], bool], cameras: Sequence[_Camera] = ()) -> None:
    """Looks twenty times a second; a camera that ends before it was warm is an error.

    Raises:
        UnreachableError: a camera failed, or nothing happened for long.
    """
    until_s = time.perf_counter() + _START_SECONDS
    while not done():
        if time.perf_counter() > until_s:
            raise UnreachableError(f"no frames were answered within {_START_SECONDS:g} s")
        time.sleep(0.05)
    for one in cameras:
        if one.ended and len(one.records) <= _WARMUP:
            raise UnreachableError(f"a device ended early: {one.words()}")


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
