"""Structured logs: lines on stderr, JSON lines in the file named by `VIGIE_LOG_JSON`.

Events are `noun.verb` with keyword data. Bind the data that a whole task shares with
`structlog.contextvars.bind_contextvars(realm=…, correlation_id=…)`. Libraries that use the standard
library's logging appear in the same form.
"""

import io
import logging
import logging.handlers
import os
import re
import sys
import time
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Final, TextIO

import orjson
import structlog
from structlog.typing import EventDict, ExcInfo, WrappedLogger

from services.runtime.secrets.files import describe_wrong_variables

ROTATE_BYTES = 10_000_000
ROTATE_KEEP = 5
RATE_LIMITED_LIBRARIES = ("aiokafka", "kafka", "faust", "mode", "opentelemetry")
"""Libraries that repeat themselves while the broker, or the collector of traces, is away."""
WARNINGS_ONLY_LIBRARIES = (
    "httpx2",
    "httpcore2",
    "uvicorn",
    "aiohttp.access",
    "aiokafka",
    "asyncio",
)
"""Libraries that log only warnings here."""
_CONTROL: Final = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")
"""Control characters except tabs and line ends, which tracebacks need.

The renderer quotes line ends elsewhere.
"""
RATE_LIMIT_S = 10.0
"""Seconds in which a logger may repeat a message template once."""


class RepeatFilter(logging.Filter):
    """Filter that passes a repeated message of a library once per `RATE_LIMIT_S`, with a count."""

    def __init__(self) -> None:
        super().__init__()
        self._seen: dict[tuple[str, str], tuple[float, int]] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        """Return True for the first of a kind, then once every QUIET_S."""
        key = (record.name, str(record.msg)[:80])
        now = time.monotonic()
        last, dropped_count = self._seen.get(key, (-RATE_LIMIT_S, 0))
        if now - last < RATE_LIMIT_S:
            self._seen[key] = (last, dropped_count + 1)
            return False
        if dropped_count:
            record.msg = f"{record.msg} (and {dropped_count} more like this)"
        if len(self._seen) > 1000:
            self._seen.clear()
        self._seen[key] = (now, 0)
        return True


def _add_time(_: WrappedLogger, __: str, event: EventDict) -> EventDict:
    now = time.time()
    event["time"] = (
        time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(now)) + f".{int(now * 1000) % 1000:03d}Z"
    )
    return event


def _render_json(_: WrappedLogger, __: str, event: EventDict) -> str:
    return orjson.dumps(event, default=str, option=orjson.OPT_NON_STR_KEYS).decode()


def escape_control_characters(text: str) -> str:
    """Escape control characters in untrusted text for a terminal.

    A stranger may choose such text (a path, an error message). It must not move the cursor or set
    colours.
    """
    return _CONTROL.sub(lambda sign: sign[0].encode("unicode_escape").decode(), text)


def _escape_event(_: WrappedLogger, __: str, event: EventDict) -> EventDict:
    return {
        name: escape_control_characters(value) if isinstance(value, str) else value
        for name, value in event.items()
    }


def _write_traceback(out: TextIO, error: ExcInfo) -> None:
    traceback_text = io.StringIO()
    structlog.dev.plain_traceback(traceback_text, error)
    out.write(escape_control_characters(traceback_text.getvalue()))


def _drop_file_fields(_: WrappedLogger, __: str, event: EventDict) -> EventDict:
    event.pop("service", None)
    event["time"] = str(event.get("time", ""))[11:23]
    if str(event.get("logger", "services.")).startswith(("services.", "vigie.", "__main__")):
        event.pop("logger", None)
    return event


def configure_logging(
    service: str,
    *,
    level: str | None = None,
    json_file: Path | None = None,
    output: IO[str] | io.TextIOBase | None = None,
    colour: bool | None = None,
) -> None:
    """Set up the logging of this process; call it once, first of all.

    Level and file default to `VIGIE_LOG_LEVEL` and `VIGIE_LOG_JSON`. `output` replaces stderr for
    the readable lines. Lines are coloured if stderr is a terminal or `VIGIE_LOG_COLOUR=1` (set by
    the supervisor). A log file that cannot be written, for example on a full disk, never stops the
    service: logging swallows its own errors. With `VIGIE_LOG_FORMAT=json` the lines on stderr are
    JSON too, as containers and journald want them.
    """
    level_name = level or os.environ.get("VIGIE_LOG_LEVEL") or "INFO"
    file = json_file or (Path(path) if (path := os.environ.get("VIGIE_LOG_JSON")) else None)
    if colour is None:
        colour = os.environ.get("VIGIE_LOG_COLOUR", "1" if sys.stderr.isatty() else "0") == "1"

    def name_service(_: WrappedLogger, __: str, event: EventDict) -> EventDict:
        # One of several services of a process has bound its own name.
        event["service"] = structlog.contextvars.get_contextvars().get("service", service)
        return event

    processors: list[Any] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.stdlib.PositionalArgumentsFormatter(),
        structlog.processors.StackInfoRenderer(),
        name_service,
        _add_time,
    ]
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *processors,
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )
    strip = structlog.stdlib.ProcessorFormatter.remove_processors_meta
    console = structlog.dev.ConsoleRenderer(
        colors=colour,
        pad_event_to=28,
        timestamp_key="time",
        exception_formatter=_write_traceback,
        sort_keys=False,
    )
    readable = structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=processors, processors=[strip, _drop_file_fields, _escape_event, console]
    )
    as_json = structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=processors,
        processors=[strip, structlog.processors.format_exc_info, _render_json],
    )
    handlers: list[logging.Handler] = [logging.StreamHandler(output or sys.stderr)]
    wants_json = os.environ.get("VIGIE_LOG_FORMAT", "").strip().lower() == "json"
    handlers[0].setFormatter(as_json if wants_json else readable)
    if file is not None:
        file.parent.mkdir(parents=True, exist_ok=True)
        to_file = logging.handlers.RotatingFileHandler(
            file, maxBytes=ROTATE_BYTES, backupCount=ROTATE_KEEP, encoding="utf-8"
        )
        to_file.setFormatter(as_json)
        handlers.append(to_file)
    root = logging.getLogger()
    for old in root.handlers[:]:
        root.removeHandler(old)
    limit = RepeatFilter()
    for handler in handlers:
        root.addHandler(handler)
    for library in RATE_LIMITED_LIBRARIES:
        _limit_rate(logging.getLogger(library), limit)
    for library in WARNINGS_ONLY_LIBRARIES:
        logging.getLogger(library).setLevel(logging.WARNING)
    # Settings refuse any other name
    root.setLevel(logging.getLevelNamesMapping().get(level_name.upper(), logging.INFO))
    logging.raiseExceptions = False
    sys.excepthook = _report_exception


def _report_exception(
    kind: type[BaseException], error: BaseException, trace: TracebackType | None
) -> None:
    """Report unreadable settings in one line that names the variables, instead of a traceback."""
    if isinstance(error, ValueError) and (wrong := describe_wrong_variables(error)) is not None:
        structlog.get_logger("vigie.runtime").error("settings.refused", why=wrong)
    else:
        sys.__excepthook__(kind, error, trace)


def _limit_rate(logger: logging.Logger, limit: RepeatFilter) -> None:
    """Limit the rate of a logger and its children.

    Filters of a logger do not see its children's records, filters of its handler do. So the logger
    gets one pass-through handler.
    """
    for old in logger.handlers[:]:
        logger.removeHandler(old)
    root = logging.getLogger()

    class PassOn(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            root.handle(record)

    handler = PassOn()
    handler.addFilter(limit)
    logger.addHandler(handler)
    logger.propagate = False
