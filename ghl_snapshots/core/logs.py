"""Logs: one JSON object a line, or readable lines on a terminal."""

import logging
import os
import stat
import sys

import structlog
from structlog.typing import EventDict, Processor

_STDOUT = 1


def configure_logs() -> None:
    """Send all log lines of this process to standard output; for a server of ours."""
    _add_handler("")
    logging.getLogger().setLevel(logging.WARNING)
    logging.getLogger("uvicorn").setLevel(logging.INFO)


def configure_own_logs() -> None:
    """Send only our own log lines to standard output; for a process of Dagster."""
    _add_handler("ghl_snapshots")
    # The handlers of the root logger would print them a second time.
    logging.getLogger("ghl_snapshots").propagate = False


def _add_handler(logger: str) -> None:
    shared: list[Processor] = [
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.stdlib.ExtraAdder(),
        structlog.processors.TimeStamper(fmt="iso", utc=True, key="timestamp"),
        structlog.processors.format_exc_info,
    ]
    # `ghl-snapshots dev` reads what its processes print, and passes it on to a terminal.
    terminal = sys.stdout.isatty() or os.environ.get("FORCE_COLOR")
    for_programs = structlog.processors.JSONRenderer()
    for_people = structlog.dev.ConsoleRenderer() if terminal and not os.environ.get("NO_COLOR") else None

    def renderer(logger: object, method: str, line: EventDict) -> str | bytes:
        # Dagster has a run print into a file for as long as its steps work.
        if for_people is None or stat.S_ISREG(os.fstat(_STDOUT).st_mode):
            return for_programs(logger, method, line)
        return for_people(logger, method, line)

    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
    )
    handler = logging.StreamHandler(sys.stdout)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, _without_color, renderer],
        )
    )
    logging.getLogger(logger).handlers = [handler]
    logging.getLogger("ghl_snapshots").setLevel(logging.INFO)


def _without_color(_logger: object, _method: str, line: EventDict) -> EventDict:
    """Drop uvicorn's second copy of its message, which contains escape sequences."""
    line.pop("color_message", None)
    return line
