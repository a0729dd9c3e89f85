"""Questions to services about challenges, and their answers.

PURE.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from ca.x509.text import visible
from outbound.errors import NoAnswer

MAX_REASON = 300


class ServiceVerdict(StrEnum):
    """The answers of a validation service about a request."""

    ALLOW = "allow"
    ASK = "ask"  # the challenge is right, but an officer decides, whatever the profile allows
    DENY = "deny"


@dataclass(frozen=True, slots=True)
class ServiceAnswer:
    """The answer of a service: `code` and `reason` (a sentence) are for officers and the log."""

    verdict: ServiceVerdict
    code: str = ""
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Question:
    """One request, as a service gets it."""

    request_id: str
    profile: str
    transaction_id: str
    csr_der: bytes = field(repr=False)
    challenge: str = field(repr=False)
    csr_sha256: str
    spki_sha256: str
    subject: str
    names: Sequence[str]
    key: str
    address: str
    submitted_at: datetime


@dataclass(frozen=True, slots=True)
class Outcome:
    """The outcome of a validated request: a certificate, or a refusal with its reason."""

    certificate_der: bytes = field(default=b"", repr=False)
    serial_hex: str = ""
    not_before: datetime | None = None
    not_after: datetime | None = None
    authority: str = ""
    reason: str = ""

    @property
    def is_issued(self) -> bool:
        return bool(self.certificate_der)


def read_object(body: bytes, *, of: str) -> Mapping[str, object]:
    """Return the JSON object in `body`.

    Raises NoAnswer for anything else, and for a repeated name.
    """
    try:
        document = json.loads(
            body.decode("utf-8"), object_pairs_hook=_once, parse_constant=_no_constant
        )
    except (ValueError, RecursionError):
        raise NoAnswer(f"{of}: the answer is not JSON as expected") from None
    if not isinstance(document, dict):
        raise NoAnswer(f"{of}: the answer is not a JSON object")
    return document


def text_of(value: object, *, challenge: str = "") -> str:
    """Return a service's text for people: short, one line, nothing hidden; "" for other types.

    It is stored, so a repeated challenge is removed before anything is cut.
    """
    if not isinstance(value, str):
        return ""
    text = value.replace(challenge, "…") if challenge else value
    return visible(" ".join(text[: 2 * MAX_REASON].split()))[:MAX_REASON]


def _once(pairs: list[tuple[str, object]]) -> dict[str, object]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise ValueError("a name stands twice in an object")
    return members


def _no_constant(name: str) -> object:
    raise ValueError(f"{name} is not JSON")
