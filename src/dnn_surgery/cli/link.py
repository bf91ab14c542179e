"""Make a link to order: a TCP proxy with the rate, delay and outages of the link that you have in mind.

Clients connect to --listen, and what they send arrives at --target as over that link. --rate is for both directions
unless --down says otherwise. Its clock starts with the first connection, at --start-at: by it go traces, outages and
stalls, so that a run can be repeated. A trace is a Mahimahi file (a line is the millisecond at which 1500 bytes may
leave) or a .csv of seconds and Mbit/s; both begin anew when they end.

A proxy hides what TCP itself does on a real link: connecting costs no round trip, nothing is lost, and slow start,
which holds back the first transfers of a connection, does not show. See docs/link.md for what that amounts to.
"""

from __future__ import annotations

import argparse
import json
import time
from typing import TYPE_CHECKING, Any

from dnn_surgery.errors import InputError

if TYPE_CHECKING:
    from dnn_surgery.network.link_thread import LinkState, LinkThread

EXAMPLE = "dnn-surgery link --target 127.0.0.1:50051 --listen 127.0.0.1:50061 --rate 5mbit --delay 20ms"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The flags of `link`."""
    parser.add_argument("--target", default="127.0.0.1:50051", metavar="HOST:PORT", help="default: 127.0.0.1:50051")
    parser.add_argument("--listen", default="127.0.0.1:50061", metavar="HOST:PORT", help="default: 127.0.0.1:50061")
    parser.add_argument("--rate", metavar="RATE", help="such as 5mbit (default: not limited)")
    parser.add_argument("--down", metavar="RATE", help="back to the client, or unlimited (default: --rate)")
    parser.add_argument("--delay", default="0ms", metavar="TIME", help="each way: an RTT of twice that (default: 0ms)")
    parser.add_argument("--queue", metavar="SIZE|TIME", help="what may wait before the sender is stopped: 64kB, 200ms")
    parser.add_argument("--trace-up", metavar="FILE", help="follow this trace instead of --rate")
    parser.add_argument("--trace-down", metavar="FILE", help="follow this trace on the way back")
    parser.add_argument(
        "--outage", action="append", default=[], metavar="AT+LENGTH", help="10s+3s: connections dropped; repeatable"
    )
    parser.add_argument(
        "--stall", action="append", default=[], metavar="AT+LENGTH", help="connections stay, nothing moves; repeatable"
    )
    parser.add_argument("--start-at", default="0s", metavar="TIME", help="what the clock starts with (default: 0s)")
    parser.add_argument("--every", default="1s", metavar="TIME", help="how often what moves is printed (default: 1s)")
    parser.add_argument("--json", action="store_true", help="one JSON object a line")


def run(arguments: argparse.Namespace) -> int:
    """Carries connections until a signal comes."""
    from dnn_surgery.cli.signals import until_signalled
    from dnn_surgery.network.link_thread import LinkThread
    from dnn_surgery.units import parse_duration

    every_s = parse_duration(arguments.every)
    if every_s <= 0:
        raise InputError(f"--every must be longer than nothing, got {arguments.every}")
    lines = _Lines(as_json=arguments.json)
    link = LinkThread(arguments.target, listen=arguments.listen, **_options(arguments), on_event=lines.event)
    with until_signalled() as signalled, link:
        lines.listening(link, arguments.target)
        before, before_s = link.state(), time.monotonic()
        while not signalled.wait(every_s):
            state, now_s = link.state(), time.monotonic()
            if (state.up_bytes, state.down_bytes) != (before.up_bytes, before.down_bytes):
                lines.moved(before, state, now_s - before_s)
            before, before_s = state, now_s
    return 0


def _options(arguments: argparse.Namespace) -> dict[str, Any]:
    from dnn_surgery.network.windows import parse_window
    from dnn_surgery.units import parse_bandwidth, parse_duration

    if arguments.trace_down and arguments.down:
        raise InputError("--trace-down goes without --down: it says the rate itself")
    if arguments.trace_up and arguments.rate and (arguments.trace_down or arguments.down):
        raise InputError("--trace-up and --rate both say the rate up: give one of them")
    rate_bps = parse_bandwidth(arguments.rate) if arguments.rate else None
    if arguments.down is None:
        down_bps = rate_bps
    else:
        down_bps = None if arguments.down == "unlimited" else parse_bandwidth(arguments.down)
    return {
        "up_bps": rate_bps if arguments.trace_up is None else None,
        "down_bps": down_bps if arguments.trace_down is None else None,
        "delay_s": parse_duration(arguments.delay),
        "trace": arguments.trace_up,
        "down_trace": arguments.trace_down,
        **_queue(arguments.queue),
        "outages": [parse_window(text) for text in arguments.outage],
        "stalls": [parse_window(text) for text in arguments.stall],
        "start_at_s": parse_duration(arguments.start_at),
    }


def _queue(text: str | None) -> dict[str, float]:
    """A size in bytes has a unit with a B in it, a time has one with an s."""
    from dnn_surgery.units import parse_duration, parse_size

    if text is None:
        return {}
    if text.rstrip().endswith(("B", "b")):
        return {"queue_bytes": parse_size(text)}
    if text.rstrip().endswith(("s", "min")):
        return {"queue_s": parse_duration(text)}
    raise InputError(f"cannot read {text!r} as a queue: expected a size or a time, such as 64kB or 200ms")


class _Lines:
    """What is printed, for people or as JSON; each line at once, also into a pipe."""

    def __init__(self, *, as_json: bool) -> None:
        self._as_json = as_json

    def listening(self, link: LinkThread, target: str) -> None:
        self._print({"event": "listening", "address": link.address, "target": target}, f"{link.address} -> {target}")

    def event(self, event: str, at_s: float) -> None:
        self._print({"event": event, "at_s": round(at_s, 3)}, f"{at_s:9.3f} s  {event}")

    def moved(self, before: LinkState, now: LinkState, seconds: float) -> None:
        from dnn_surgery.units import format_bandwidth

        up_bps, down_bps = (
            8 * (getattr(now, size) - getattr(before, size)) / seconds for size in ("up_bytes", "down_bytes")
        )
        at_s = now.elapsed_s or 0.0
        record = {"event": "moved", "at_s": round(at_s, 3), "up_bps": round(up_bps), "down_bps": round(down_bps)}
        record |= {"up_bytes": now.up_bytes, "down_bytes": now.down_bytes, "connections": now.connections}
        text = f"up {format_bandwidth(up_bps)}, down {format_bandwidth(down_bps)}, connections {now.connections}"
        self._print(record, f"{at_s:9.3f} s  {text}")

    def _print(self, record: dict[str, Any], text: str) -> None:
        print(json.dumps(record) if self._as_json else text, flush=True)
