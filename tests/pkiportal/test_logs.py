"""Logs are one JSON object a line."""

import io
import json
import logging
from collections.abc import Iterator
from logging.config import dictConfig
from typing import Any

import pytest
import structlog
from django.conf import settings

from pkiportal.logs import logging_config


@pytest.fixture
def lines() -> Iterator[io.StringIO]:
    """The log lines under the product's set-up; afterwards the tests' set-up returns."""
    config = logging_config("INFO", process="web")
    written = io.StringIO()
    config["handlers"]["stderr"]["stream"] = written
    dictConfig(config)
    yield written
    dictConfig(settings.LOGGING)


def only(lines: io.StringIO) -> dict[str, Any]:
    text = lines.getvalue()
    assert text.count("\n") == 1
    assert text.isascii()
    entry: dict[str, Any] = json.loads(text)
    return entry


def test_a_name_from_a_certificate_cannot_forge_a_line(lines: io.StringIO) -> None:
    logging.getLogger("scep").warning("refused %s", 'CN=r1\n{"event":"fake"}\u202e\u2028')
    assert only(lines)["event"] == 'refused CN=r1\n{"event":"fake"}\u202e\u2028'


def test_our_own_and_foreign_loggers_write_the_same_form(lines: io.StringIO) -> None:
    structlog.get_logger("approvals").warning("doorbell.silent", task="issue")
    entry = only(lines)
    assert (entry["event"], entry["level"], entry["process"], entry["task"]) == (
        "doorbell.silent",
        "warning",
        "web",
        "issue",
    )


@pytest.mark.parametrize(
    "name", ["password", "ca_passphrase", "challenge_password", "csrf_token", "Authorization"]
)
def test_secrets_are_hidden_by_their_names(lines: io.StringIO, name: str) -> None:
    structlog.get_logger("approvals").warning("something", **{name: "canary"})
    assert only(lines)[name] == "<hidden>"


def test_a_fault_is_one_line_without_the_values_of_variables(lines: io.StringIO) -> None:
    def fail(passphrase: str) -> None:
        raise RuntimeError(len(passphrase))

    try:
        fail("canary".upper())
    except RuntimeError:
        logging.getLogger("django.request").exception("Internal Server Error: %s", "/")
    entry = only(lines)
    assert "RuntimeError: 6" in entry["exception"]
    assert "CANARY" not in lines.getvalue()
