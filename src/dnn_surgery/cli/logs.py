"""The flags --log-format and --log-level: what a command logs, as lines for people or as JSON for machines."""

from __future__ import annotations

import argparse
import json
import logging
import sys
from datetime import datetime, timezone
from typing import Any

LEVELS = ("debug", "info", "warning", "error")


def add_log_arguments(parser: argparse._ActionsContainer) -> None:
    """--log-format and --log-level."""
    parser.add_argument("--log-format", choices=("text", "json"), default="text", help="of what goes to stderr")
    parser.add_argument("--log-level", choices=LEVELS, default="warning", help="info: every call (default: warning)")


def set_up_logging(arguments: argparse.Namespace) -> None:
    """Logs to stderr as the flags say."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonLines() if arguments.log_format == "json" else logging.Formatter(_TEXT))
    logger = logging.getLogger("dnn_surgery")
    logger.handlers[:] = [handler]
    logger.setLevel(arguments.log_level.upper())
    logger.propagate = False


_TEXT = "dnn-surgery: %(levelname)s: %(message)s"


class JsonLines(logging.Formatter):
    """One JSON object a line: time (UTC), level, logger, message, and the record's `fields` if it has some."""

    def format(self, record: logging.LogRecord) -> str:
        """The line."""
        line: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, timezone.utc).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
            **getattr(record, "fields", {}),
        }
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return json.dumps(line, ensure_ascii=False, default=str)
