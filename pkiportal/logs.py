"""Logs: one JSON object per line on standard error.

ASCII only, so that no name from a certificate can forge a line.
"""

import json
import logging
from collections.abc import Mapping, MutableMapping
from typing import Any, Final

import structlog

_SECRET_WORDS: Final = (
    "password",
    "passphrase",
    "secret",
    "challenge",
    "token",
    "cookie",
    "authorization",
)
_HIDDEN: Final = "<hidden>"


def hide_secrets(
    _logger: object, _method: str, event: MutableMapping[str, Any]
) -> Mapping[str, Any]:
    """Blank the value of each field whose name looks like a secret."""
    for name in event:
        if any(word in name.lower() for word in _SECRET_WORDS):
            event[name] = _HIDDEN
    return event


def one_line(value: object, **_: object) -> str:
    """Return a JSON object without line breaks; values unknown to JSON appear as their repr."""
    return json.dumps(value, ensure_ascii=True, default=repr, separators=(",", ":"))


def logging_config(level: str, *, process: str) -> dict[str, Any]:
    """Return the `logging.config` dictionary for Django, Celery and granian; set up structlog."""

    def name_process(
        _logger: object, _method: str, event: MutableMapping[str, Any]
    ) -> Mapping[str, Any]:
        event["process"] = process
        return event

    shared: list[Any] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        name_process,
        hide_secrets,
    ]
    _configure_structlog(shared)
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "formatters": {
            "json": {
                "()": structlog.stdlib.ProcessorFormatter,
                "foreign_pre_chain": shared,
                "processors": [
                    structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                    structlog.processors.format_exc_info,
                    structlog.processors.JSONRenderer(serializer=one_line),
                ],
            }
        },
        "filters": {"refusals": {"()": "pkiportal.web.refusal_log.OneLineEach"}},
        "handlers": {
            "stderr": {
                "class": "logging.StreamHandler",
                "formatter": "json",
                "filters": ["refusals"],
            }
        },
        "root": {"handlers": ["stderr"], "level": level},
        "loggers": _loggers(level),
    }


def _loggers(level: str) -> dict[str, Any]:
    return {
        # Their own handlers would print a second line in another form.
        **{
            name: {"handlers": [], "level": level, "propagate": True}
            for name in ("django", "django.server")
        },
        "celery": {"handlers": [], "level": level, "propagate": True},
        "_granian": {"handlers": ["stderr"], "level": level, "propagate": False},
        "granian.access": {"handlers": [], "level": level, "propagate": True},
        # One line for every poll of every device would bury the rest.
        **{
            name: {"level": "WARNING"}
            for name in ("celery.worker.strategy", "celery.app.trace", "celery.beat")
        },
    }


def _configure_structlog(shared: list[Any]) -> None:
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *shared,
            structlog.stdlib.PositionalArgumentsFormatter(),
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )


def log_level_number(level: str) -> int:
    """Return the number of an accepted level name."""
    return logging.getLevelNamesMapping()[level]
