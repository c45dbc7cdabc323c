"""Logs: one JSON object a line for machines, the same told readably on a terminal."""

import logging
import sys

import structlog
from structlog.typing import EventDict, Processor


def configure_logs() -> None:
    """Send this process's log lines to standard output; for processes that are ours alone and no command."""
    _send_lines_of("")
    logging.getLogger().setLevel(logging.WARNING)
    logging.getLogger("uvicorn").setLevel(logging.INFO)


def configure_own_logs() -> None:
    """Do the same for our own lines only, in a process whose other lines are somebody else's."""
    _send_lines_of("ghl_snapshots")
    # Nor are they told once more by whoever looks after the rest.
    logging.getLogger("ghl_snapshots").propagate = False


def _send_lines_of(logger: str) -> None:
    shared: list[Processor] = [
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.stdlib.ExtraAdder(),
        structlog.processors.TimeStamper(fmt="iso", utc=True, key="timestamp"),
        structlog.processors.format_exc_info,
    ]
    terminal = sys.stdout.isatty()
    last: Processor = structlog.dev.ConsoleRenderer() if terminal else structlog.processors.JSONRenderer()
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
    )
    handler = logging.StreamHandler(sys.stdout)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, _without_color, last],
        )
    )
    logging.getLogger(logger).handlers = [handler]
    logging.getLogger("ghl_snapshots").setLevel(logging.INFO)


def _without_color(_logger: object, _method: str, line: EventDict) -> EventDict:
    """Leave out uvicorn's second copy of its message, which has escape sequences in it."""
    line.pop("color_message", None)
    return line
