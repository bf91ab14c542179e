"""Keeps a measurement on as many processors as it has threads, and notes what else those had to do meanwhile.

A process that moves between processors loses its caches; one beside another process waits for it. Neither is what a
device does that runs this model alone. Only where the platform tells (Linux); elsewhere nothing is done or claimed.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Collection, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

# More than this of the processors' time for others, or so often interrupted, and seconds are no longer the model's.
BUSY_SHARE, BUSY_STEAL_SHARE, BUSY_PREEMPTIONS_HZ = 0.1, 0.02, 50.0

# For so long it is looked which processors are idle.
_LOOK_S = 0.05

_PROC_STAT, _THREADS, _CPUS = Path("/proc/stat"), Path("/proc/self/task"), Path("/sys/devices/system/cpu")


@dataclass(frozen=True, slots=True)
class OtherWork:
    """What else went on during a measurement, on the processors that it ran on.

    `others_share` of their time was other processes', `steal_share` was taken by the host of a virtual machine;
    `preemptions_hz`: how often a second this process had to make room.
    """

    others_share: float
    steal_share: float
    preemptions_hz: float

    @property
    def is_busy(self) -> bool:
        """Whether that is too much for the seconds to be the model's alone."""
        return (
            self.others_share > BUSY_SHARE
            or self.steal_share > BUSY_STEAL_SHARE
            or self.preemptions_hz > BUSY_PREEMPTIONS_HZ
        )

    @property
    def text(self) -> str:
        """Half a sentence for people."""
        parts = [f"other work took {self.others_share:.0%} of its processors"]
        if self.steal_share > BUSY_STEAL_SHARE:
            parts.append(f"the host took {self.steal_share:.0%}")
        return f"{', '.join(parts)}, and it was interrupted {self.preemptions_hz:.0f} times a second"


@dataclass
class Watch:
    """`processors` of the measurement, where it was pinned; `other_work`, once it is over, where the platform tells."""

    processors: tuple[int, ...] = ()
    other_work: OtherWork | None = None

    @property
    def busy(self) -> OtherWork | None:
        """The other work, if it was too much."""
        return self.other_work if self.other_work is not None and self.other_work.is_busy else None


@contextmanager
def watched(*, threads: int, pin: bool = True) -> Iterator[Watch]:
    """Pins this process, all its threads, and watches its processors; all threads may go anywhere again afterwards.

    Args:
        threads: that work, so many processors are taken: the fastest ones (where they differ), of these the idlest.
        pin: False leaves the process where it is.
    """
    watch = Watch()
    allowed = _allowed()
    if pin and allowed and threads < len(allowed):
        watch.processors = _choose(allowed, threads)
        _move(watch.processors)
    on = watch.processors or tuple(sorted(allowed))
    before = _Counters.read(on)
    try:
        yield watch
    finally:
        if watch.processors:
            _move(allowed)
        after = _Counters.read(on)
        if before is not None and after is not None:
            watch.other_work = after.since(before, len(on))


def _allowed() -> set[int]:
    return os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else set()


def _move(processors: Collection[int]) -> None:
    """Lets every thread of this process run on these processors only. Engines' own threads are there already."""
    threads = [int(entry.name) for entry in _THREADS.iterdir()] if _THREADS.is_dir() else [0]
    for thread in threads:
        with suppress(OSError):  # it has ended meanwhile
            os.sched_setaffinity(thread, processors)


def _choose(allowed: Collection[int], count: int) -> tuple[int, ...]:
    before = _processor_ticks()
    time.sleep(_LOOK_S)
    after = _processor_ticks()

    def rank(processor: int) -> tuple[float, float, int]:
        busy = after[processor][0] - before[processor][0] if processor in before and processor in after else 0.0
        return -_speed(processor), busy, processor

    return tuple(sorted(sorted(allowed, key=rank)[:count]))


def _speed(processor: int) -> float:
    """How fast the processor is beside the others, as far as the system says: boards have small and large ones."""
    for name in ("cpu_capacity", "cpufreq/cpuinfo_max_freq"):
        with suppress(OSError, ValueError):
            return float((_CPUS / f"cpu{processor}" / name).read_text(encoding="ascii"))
    return 0.0


def _processor_ticks() -> dict[int, tuple[int, int]]:
    """Clock ticks since boot that each processor worked, and that the host kept it from working."""
    ticks = {}
    with suppress(OSError, ValueError):
        for line in _PROC_STAT.read_text(encoding="ascii").splitlines():
            name, *fields = line.split()
            if name.startswith("cpu") and name != "cpu" and len(fields) >= 8:
                user, nice, system, _, _, interrupts, soft_interrupts, steal = map(int, fields[:8])
                ticks[int(name[3:])] = user + nice + system + interrupts + soft_interrupts, steal
    return ticks


@dataclass(frozen=True, slots=True)
class _Counters:
    time_s: float
    worked_s: float
    stolen_s: float
    own_s: float
    preemptions: int

    @classmethod
    def read(cls, processors: Collection[int]) -> _Counters | None:
        """None where the platform does not tell."""
        ticks = _processor_ticks() if sys.platform == "linux" else {}
        if not processors or not set(processors) <= ticks.keys():
            return None
        import resource

        tick_s = 1.0 / os.sysconf("SC_CLK_TCK")
        usage = resource.getrusage(resource.RUSAGE_SELF)
        return cls(
            time_s=time.monotonic(),
            worked_s=tick_s * sum(ticks[processor][0] for processor in processors),
            stolen_s=tick_s * sum(ticks[processor][1] for processor in processors),
            own_s=usage.ru_utime + usage.ru_stime,
            preemptions=usage.ru_nivcsw,
        )

    def since(self, before: _Counters, processors: int) -> OtherWork | None:
        """None where too little time has passed for the counters to say something: they tick in hundredths."""
        elapsed_s = self.time_s - before.time_s
        if elapsed_s < 0.2:
            return None
        others_s = (self.worked_s - before.worked_s) - (self.own_s - before.own_s)
        return OtherWork(
            others_share=_share(others_s, processors * elapsed_s),
            steal_share=_share(self.stolen_s - before.stolen_s, processors * elapsed_s),
            preemptions_hz=round((self.preemptions - before.preemptions) / elapsed_s, 1),
        )


def _share(part_s: float, whole_s: float) -> float:
    return round(min(1.0, max(0.0, part_s / whole_s)), 3)
