"""What an accuracy rests on, in words and as a record."""

from __future__ import annotations

from typing import Any

from dnn_surgery.calibration.agreement import Agreement, frames_needed
from dnn_surgery.calibration.guard import Guarded, describe

_SHOWN = 4


def accuracy_lines(guarded: Guarded, rule: str) -> list[str]:
    """What passed and why, and what failed before it.

    Args:
        guarded: what the guard found.
        rule: what counts as the same answer, as of :class:`dnn_surgery.calibration.answers.Answer`.
    """
    passed = guarded.passed
    if passed.agreement is None or guarded.accuracy is None:
        lines = [f"accuracy: exact: no bit is lost ({describe(passed.plan)})"]
    else:
        lines = [f"accuracy: {describe(passed.plan)}: {rule} on {_proved(passed.agreement, guarded.accuracy)}"]
    if guarded.accuracy is not None and guarded.failed:
        some = [f"{describe(one.plan)} ({_seen(one.agreement)})" for one in guarded.failed[-_SHOWN:]]
        lines.append(f"not proved: {len(guarded.failed)} cheaper plans, the last: {'; '.join(some)}")
    return lines


def accuracy_record(guarded: Guarded, rule: str) -> dict[str, Any]:
    """The same for machines."""
    agreement = guarded.passed.agreement
    return {
        "asked": "exact" if guarded.accuracy is None else guarded.accuracy,
        "exact": agreement is None,
        "rule": rule,
        "agreeing": None if agreement is None else agreement.agreeing,
        "frames": None if agreement is None else agreement.frames,
        "bound": None if agreement is None else agreement.bound,
        "frames_needed": guarded.frames_needed,
        "failed": [
            {
                "sent": {sent.tensor: sent.codec for sent in one.plan.sent},
                "agreeing": None if one.agreement is None else one.agreement.agreeing,
                "frames": None if one.agreement is None else one.agreement.frames,
                "bound": None if one.agreement is None else one.agreement.bound,
            }
            for one in guarded.failed
        ],
    }


def _proved(agreement: Agreement, accuracy: float) -> str:
    disagreeing = agreement.frames - agreement.agreeing
    needed = frames_needed(accuracy, disagreeing=disagreeing)
    but = f" when {disagreeing} disagree" if disagreeing else " that all agree"
    return (
        f"{_seen(agreement)}: at least {100 * agreement.bound:.1f} % proved (Wilson, 95 %); "
        f"{accuracy:g} takes {needed} frames{but}"
    )


def _seen(agreement: Agreement | None) -> str:
    if agreement is None:
        return "not exact"
    given_up = ", given up" if agreement.decided else ""
    return f"{agreement.agreeing} of {agreement.frames} frames{given_up}"
