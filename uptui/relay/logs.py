"""Structured logs of the relay: one JSON object per line, request ids, and never a secret."""

import atexit
import json
import logging
import re
import sys
from collections.abc import MutableMapping
from typing import Any, Final

import structlog

from uptui.runtime.writer_thread import WriterThread

ROOT: Final = "uptui.relay"
_SECRET: Final = re.compile(
    r"(up[ct]_)[A-Za-z0-9_-]{8,}|(-)[a-z2-7]{26}\b|\b([a-z2-7]{8})[a-z2-7]{18}\b"
)
_MASK: Final = "…"


def mask_secrets(text: str) -> str:
    """`text` with bearer tokens, session tokens and secret halves cut to a recognisable start."""
    return _SECRET.sub(lambda found: (found[1] or found[2] or found[3]) + _MASK, text)


def _masked(
    _logger: Any, _method: str, event: MutableMapping[str, Any]
) -> MutableMapping[str, Any]:
    for key, value in event.items():
        if isinstance(value, str):
            event[key] = mask_secrets(value)
    return event


_PROCESSORS: Final[list[Any]] = [
    structlog.stdlib.filter_by_level,
    structlog.contextvars.merge_contextvars,
    structlog.stdlib.add_log_level,
    structlog.stdlib.add_logger_name,
    structlog.processors.TimeStamper(fmt="iso", utc=True),
    structlog.processors.format_exc_info,
    _masked,
    structlog.processors.JSONRenderer(),
]


class _Logger(structlog.stdlib.BoundLogger):
    """Tracebacks are in the line; the standard logger would print them once more, unmasked."""

    def exception(self, event: str | None = None, *args: Any, **kw: Any) -> Any:
        return self.error(event, *args, exc_info=True, **kw)


def logger(name: str = ROOT) -> structlog.stdlib.BoundLogger:
    """A logger whose lines are JSON; silent below warnings until `configure` is called."""
    wrapped: structlog.stdlib.BoundLogger = structlog.wrap_logger(
        logging.getLogger(name),
        processors=_PROCESSORS,
        wrapper_class=_Logger,
        cache_logger_on_first_use=False,
    )
    return wrapped


_FOREIGN: Final = structlog.stdlib.ProcessorFormatter(
    processors=[
        structlog.stdlib.ProcessorFormatter.remove_processors_meta,
        _masked,
        structlog.processors.JSONRenderer(),
    ],
    foreign_pre_chain=[
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.format_exc_info,
    ],
)
"""For the warnings of libraries, which know nothing of structlog."""


def _lost(count: int) -> str:
    return json.dumps({"event": "log_lines_lost", "count": count, "level": "warning"}) + "\n"


def configure(level: str = "INFO") -> WriterThread:
    """Write every line of the relay to stderr, also of plain structlog loggers.

    Called once by whoever runs the process. Returns what holds nothing up when nobody reads stderr.
    """
    writer = WriterThread(sys.stderr.fileno(), _lost)
    atexit.register(writer.close)
    handler = logging.StreamHandler(writer)
    handler.setFormatter(logging.Formatter("%(message)s"))
    ours = logging.getLogger(ROOT)
    ours.handlers = [handler]
    ours.setLevel(level)
    ours.propagate = False
    foreign = logging.StreamHandler(writer)
    foreign.setFormatter(_FOREIGN)
    logging.getLogger().handlers = [foreign]
    structlog.configure(
        processors=_PROCESSORS,
        wrapper_class=_Logger,
        logger_factory=lambda *_names: logging.getLogger(ROOT),
        cache_logger_on_first_use=False,
    )
    return writer


def set_level(level: str) -> None:
    """Change what `configure` set as the least level."""
    logging.getLogger(ROOT).setLevel(level)
