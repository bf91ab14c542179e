"""Measures a model on this device: seconds of each layer, of each segment and of the whole, in one interleaved run.

Layers are timed one after the other on the tensors that the layers before them made, and scaled so that those of a
segment add up to the measured segment and all of them to the measured whole: single layers are 6 to 29 % off (calls
cost, fused kernels gain). Medians, since other work on the machine only ever adds time.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, Protocol

from dnn_surgery.errors import InputError
from dnn_surgery.execution.engine import Engine
from dnn_surgery.execution.engines import make_engine
from dnn_surgery.model.graph import ModelGraph
from dnn_surgery.profiling.processors import Watch, watched
from dnn_surgery.profiling.profile import Profile
from dnn_surgery.profiling.rounds import Clock, Rounds

Progress = Callable[[int, int], None]

# How many times as many rounds as asked for a warm-up may take.
_LONGEST_WARMUP = 3


def profile(
    graph: ModelGraph,
    inputs: Mapping[str, Any] | None = None,
    *,
    engine: Engine | None = None,
    repeats: int = 15,
    warmup: int = 3,
    clock: Clock = time.perf_counter,
    progress: Progress | None = None,
    pin: bool = True,
) -> Profile:
    """What `graph` costs on this device.

    Args:
        graph: the model.
        inputs: named tensors to run it on; the traced example by default.
        engine: what runs it; torch with its own number of threads by default.
        repeats: rounds that count, each one run of every layer, of every segment and of the whole.
        warmup: rounds before them that do not; up to twice as many more until two take about as long.
        clock: monotonic seconds.
        progress: called with (rounds done, rounds in all) after each round.
        pin: keeps the process on as many processors as the engine has threads meanwhile (where the platform can).

    Raises:
        InputError: fewer than 1 repeat.
        TensorError: `inputs` are not the model's.
    """
    check_repeats(repeats, warmup)
    rounds = Rounds(engine or make_engine(graph), inputs=inputs, clock=clock)
    with watched(threads=rounds.engine.info.threads, pin=pin) as watch:
        run_rounds([rounds], repeats=repeats, warmup=warmup, progress=progress)
    return with_conditions(rounds.profile(), watch)


def with_conditions(profile: Profile, watch: Watch) -> Profile:
    """The profile that also says where it was pinned, and whether the machine was busy."""
    engine = {**profile.engine, "processors": list(watch.processors)} if watch.processors else profile.engine
    return replace(profile, engine=engine, busy=watch.busy)


class Repeated(Protocol):
    """What is measured in rounds."""

    def run(self) -> None:
        """One round."""

    def forget(self) -> None:
        """Drops what was measured so far."""

    @property
    def is_settled(self) -> bool:
        """Whether the machine is warm, as far as this one tells."""


def run_rounds(measured: Sequence[Repeated], *, repeats: int, warmup: int, progress: Progress | None) -> None:
    """A round of each in turn, over and over; those of the warm-up are forgotten.

    The warm-up goes on until all are settled, for at most three times as many rounds as asked for. One round alone
    cannot tell, so a warm-up of less than two is as long as asked for.
    """
    done, longest = 0, _LONGEST_WARMUP * warmup if warmup > 1 else warmup
    while done < warmup + repeats:
        if done == warmup < longest and not all(one.is_settled for one in measured):
            warmup += 1
        if done == warmup:
            for one in measured:
                one.forget()
        for one in measured:
            one.run()
        done += 1
        if progress:
            progress(done, warmup + repeats)


def check_repeats(repeats: int, warmup: int) -> None:
    """Raises InputError where nothing would be measured."""
    if repeats < 1 or warmup < 0:
        raise InputError(f"a profile needs at least 1 repeat and no negative warm-up, got {repeats} and {warmup}")
