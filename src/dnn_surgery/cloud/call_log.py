"""Calls as log lines: refusals as warnings, a few a second at most; answers as information."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import asdict

from dnn_surgery.protocol.handler import CallRecord

logger = logging.getLogger(__name__)

# Whoever knocks without a token a thousand times a second shall not fill the disk.
_REFUSALS_PER_S = 5.0

# What the client brought about, and the operator should see.
_NOTABLE = ("UNAUTHENTICATED", "INTERNAL")


class CallLog:
    """An observer that logs. `fields` of a log record hold what a structured format prints."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._credit, self._at_s = _REFUSALS_PER_S, clock()
        self._left_out = 0

    def __call__(self, call: CallRecord) -> None:
        """Logs a call."""
        level = logging.WARNING if call.status in _NOTABLE else logging.INFO
        if not logger.isEnabledFor(level) or (level == logging.WARNING and not self._may()):
            return
        fields = {key: value for key, value in asdict(call).items() if value not in ("", (), 0)}
        fields["stages"] = {stage: round(seconds, 6) for stage, seconds in call.stages}
        fields["elapsed_s"] = round(call.elapsed_s, 6)
        if level == logging.WARNING and self._left_out:
            fields["left_out"], self._left_out = self._left_out, 0
        text = f": {call.error}" if call.error else ""
        logger.log(
            level, "%s of %s: %s%s", call.method, call.client or "?", call.status, text, extra={"fields": fields}
        )

    def _may(self) -> bool:
        now_s = self._clock()
        self._credit = min(_REFUSALS_PER_S, self._credit + (now_s - self._at_s) * _REFUSALS_PER_S)
        self._at_s = now_s
        if self._credit < 1:
            self._left_out += 1
            return False
        self._credit -= 1
        return True
