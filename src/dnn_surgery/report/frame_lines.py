"""What `dnn-surgery run` prints: one line a frame, for people or as JSON, events, and the receipt at the end."""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from dnn_surgery.calibration.answers import answer_of
from dnn_surgery.calibration.guard import Guarded
from dnn_surgery.edge.answer import answer
from dnn_surgery.edge.detections import Detection
from dnn_surgery.edge.events import Event
from dnn_surgery.edge.result import Classification, FrameResult
from dnn_surgery.execution.split import cut_name
from dnn_surgery.model.graph import ModelGraph
from dnn_surgery.planning import Link, Plan
from dnn_surgery.report.accuracy_lines import accuracy_lines
from dnn_surgery.report.receipt_lines import receipt_lines
from dnn_surgery.units import format_bandwidth, format_duration, format_size


class FrameLines:
    """Prints results as they come, a line each, on stdout; all else is said on stderr.

    With `as_json` stdout has nothing but one JSON object a frame, and stderr one for each event and for the receipt.
    """

    def __init__(self, graph: ModelGraph, *, as_json: bool = False) -> None:
        self.graph, self.as_json = graph, as_json

    def plan(self, plan: Plan, link: Link) -> None:
        """Says where the model is cut at first, and for which link."""
        self._say(
            f"link {format_bandwidth(link.bandwidth_bps)}, RTT {format_duration(link.rtt_s)}; "
            f"cut: {cut_name(self.graph, plan.edge)}; predicted latency {format_duration(plan.latency_s)} "
            f"(edge {format_duration(plan.edge_s)}, transfer {format_duration(plan.transfer_s)}, "
            f"cloud {format_duration(plan.cloud_s)})"
        )

    def accuracy(self, guarded: Guarded | None) -> None:
        """Says what the answers' accuracy rests on, where codecs were chosen."""
        if guarded is not None:
            for line in accuracy_lines(guarded, answer_of(self.graph).rule):
                self._say(line)

    def event(self, event: Event) -> None:
        """Says that something changed, and why. May be called in any thread."""
        if self.as_json:
            self._say(json.dumps(_finite({"event": event.kind, "text": event.text, **event.fields})))
        else:
            self._say(f"dnn-surgery: {event.text}")

    def result(self, result: FrameResult) -> None:
        """Prints one result."""
        print(json.dumps(self.record(result)) if self.as_json else self._line(result), flush=True)

    def receipt(self, record: Mapping[str, Any]) -> None:
        """Prints how the run went: for people, and with `as_json` for machines as well."""
        for line in receipt_lines(record):
            self._say(line)
        if self.as_json:
            self._say(json.dumps(_finite(dict(record))))

    def _say(self, text: str) -> None:
        # One write a line: events come from several threads.
        sys.stderr.write(text + "\n")
        sys.stderr.flush()

    def _line(self, result: FrameResult) -> str:
        text = self._answer(result) if result.finished_by != "nobody" else "failed"
        stages = [f"edge {format_duration(result.edge_s)}"]
        if result.finished_by == "cloud":
            # A server of another make does not say how long it computed.
            cloud = [f"cloud {format_duration(result.cloud_s)}"] if result.cloud_s else []
            link = "link" if cloud else "link and cloud"
            stages += [f"{link} {format_duration(result.transfer_s)}", *cloud, format_size(result.sent_bytes)]
        elif result.finished_by == "nobody":
            stages += [result.failure or "no answer"]
        elif result.failure is not None:
            stages += [f"finished here {format_duration(result.local_s)}: {result.failure}"]
        source = f"{result.source}/" if result.source else ""
        return f"{source}{Path(result.name).name}: {text}  ({', '.join(stages)})"

    def _answer(self, result: FrameResult) -> str:
        found = answer(self.graph, result)
        if found is None:
            return self._shapes(result)
        if isinstance(found, Classification):
            return f"{found.label} {100 * found.confidence:.1f} %"
        return "; ".join(_thing(one) for one in found) or "nothing found"

    def _shapes(self, result: FrameResult) -> str:
        return ", ".join(f"{name} {list(array.shape)}" for name, array in result.outputs.items())

    def record(self, result: FrameResult) -> dict[str, Any]:
        """One result as JSON has it."""
        finite: dict[str, Any] = _finite(self._record(result))
        return finite

    def _record(self, result: FrameResult) -> dict[str, Any]:
        record: dict[str, Any] = {"index": result.index, "frame": result.name}
        if result.source:
            record["source"] = result.source
        found = answer(self.graph, result) if result.finished_by != "nobody" else None
        if found is None:
            record["outputs"] = {name: array.tolist() for name, array in result.outputs.items()}
        elif isinstance(found, Classification):
            record |= _labelled(found)
        else:
            record["detections"] = [_labelled(one) | {"box": list(one.box)} for one in found]
        return record | {
            "cut": result.cut,
            "finished_by": result.finished_by,
            "edge_s": result.edge_s,
            "transfer_s": result.transfer_s,
            "cloud_s": result.cloud_s,
            "compute_s": result.compute_s,
            "local_s": result.local_s,
            "latency_s": result.latency_s,
            "sent_bytes": result.sent_bytes,
            "failure": result.failure,
        }


def _labelled(found: Classification | Detection) -> dict[str, Any]:
    return {"label": found.label, "class": found.class_index, "confidence": found.confidence}


def _thing(found: Detection) -> str:
    """``dog 87.3 % at 12,30 - 200,180``."""
    left, top, right, bottom = (round(side) for side in found.box)
    return f"{found.label} {100 * found.confidence:.1f} % at {left},{top} - {right},{bottom}"


def _finite(value: Any) -> Any:
    """The same with null where JSON has no number (NaN, infinity)."""
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_finite(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
