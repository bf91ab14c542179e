"""Whether a profile was taken under the conditions under which its model now runs."""

from __future__ import annotations

from dnn_surgery.execution.engine import EngineInfo
from dnn_surgery.profiling.profile import Profile
from dnn_surgery.profiling.rounds import machine_name


def differences(profile: Profile, info: EngineInfo) -> str | None:
    """What is different here, for people; None where nothing is that the profile tells of."""
    here: dict[str, object] = {
        "engine": info.name,
        "threads": info.threads,
        "device": info.device,
        "machine": machine_name(),
    }
    there = {
        "engine": profile.engine.get("name"),
        "threads": profile.engine.get("threads"),
        "device": profile.device.get("kind"),
        "machine": profile.device.get("machine"),
    }
    found = [f"{key} {value}, not {here[key]}" for key, value in there.items() if value not in (None, here[key])]
    if not found:
        return None
    return f"the profile is of other conditions than this run ({'; '.join(found)}): its seconds are not this run's"


def threads_of(profile: Profile) -> int | None:
    """The threads that a profile was measured with; None where it does not say."""
    threads = profile.engine.get("threads")
    return threads if isinstance(threads, int) and not isinstance(threads, bool) and threads >= 1 else None
