"""A profile as a table for people."""

from __future__ import annotations

from rich.console import Console
from rich.table import Table

from dnn_surgery.profiling.profile import Profile
from dnn_surgery.units import format_duration, format_size


def show_profile(profile: Profile, console: Console | None = None) -> None:
    """Prints the seconds and bytes of each layer, and the whole."""
    table = Table(title=f"{profile.model} on {profile.device.get('machine') or profile.device.get('name', '?')}")
    table.add_column("layer", no_wrap=True)
    for column in ("time", "spread", "makes", "weights"):
        table.add_column(column, justify="right")
    for layer in profile.layers:
        table.add_row(
            layer.name,
            format_duration(layer.seconds),
            format_duration(layer.spread_s),
            format_size(sum(tensor.bytes for tensor in layer.outputs)),
            format_size(layer.param_bytes),
        )
    weights = sum(layer.param_bytes for layer in profile.layers)
    table.add_section()
    table.add_row(
        "whole", format_duration(profile.whole_s), format_duration(profile.whole_spread_s), "", format_size(weights)
    )
    (console or Console()).print(table)
    engine = profile.engine
    threads = f"{engine.get('threads')} thread{'' if engine.get('threads') == 1 else 's'}"
    if engine.get("processors"):
        threads += f" on processor {', '.join(map(str, engine['processors']))}"
    (console or Console()).print(
        f"{engine.get('name')} {engine.get('version')}, {threads}; medians of {profile.repeats} rounds, "
        "layers scaled to the whole"
    )
