"""What is asked about a challenge that somebody else knows, and what the answer is worth. PURE."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from ca.x509.text import visible
from outbound.errors import NoAnswer

MAX_REASON = 300


class Word(StrEnum):
    """What a validation service says about a request."""

    ALLOW = "allow"
    ASK = "ask"  # the challenge is right, but an officer decides, whatever the profile says
    DENY = "deny"


@dataclass(frozen=True, slots=True)
class Answer:
    """What a service said: `code` is a word of its own for it, `reason` a sentence; both for
    officers and the log.
    """

    word: Word
    code: str = ""
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Question:
    """One request, as a service is told of it."""

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
    """What became of a request that a service validated: a certificate, or a refusal with its
    reason.
    """

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

    Raises NoAnswer for anything else, and for a name that stands there twice.
    """
    try:
        found = json.loads(
            body.decode("utf-8"), object_pairs_hook=_once, parse_constant=_no_constant
        )
    except (ValueError, RecursionError):
        raise NoAnswer(f"{of}: the answer is not JSON as expected") from None
    if not isinstance(found, dict):
        raise NoAnswer(f"{of}: the answer is not a JSON object")
    return found


def text_of(value: object, *, challenge: str = "") -> str:
    """Return what a service wrote as text for people: short, one line, nothing hidden in it; empty
    for other types.

    It goes on record; the challenge that it repeats does not, and is left out before anything is
    cut.
    """
    if not isinstance(value, str):
        return ""
    said = value.replace(challenge, "…") if challenge else value
    return visible(" ".join(said[: 2 * MAX_REASON].split()))[:MAX_REASON]


def _once(pairs: list[tuple[str, object]]) -> dict[str, object]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a name stands twice in an object")
    return found


def _no_constant(name: str) -> object:
    raise ValueError(f"{name} is not JSON")
