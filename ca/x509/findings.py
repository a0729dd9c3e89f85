"""The findings of checks: shown to officers, stored with requests, reasons of refusals."""

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True)
class Finding:
    """One fact about a request or certificate.

    `text` names subject, fault and value: "RSA 1024: at least 2048".

    Severity `officer`: no policy approves the request alone, an officer may.
    """

    severity: Literal["refuse", "officer", "warn", "info"]
    code: str
    text: str


def refuse(code: str, text: str) -> Finding:
    return Finding("refuse", code, text)


def ask_officer(code: str, text: str) -> Finding:
    return Finding("officer", code, text)


def warn(code: str, text: str) -> Finding:
    return Finding("warn", code, text)


def info(code: str, text: str) -> Finding:
    return Finding("info", code, text)
