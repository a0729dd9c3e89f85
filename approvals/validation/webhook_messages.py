"""The signed webhook: JSON bodies, their signature, and strict reading of answers.

PURE. `docs/mdm.md` is the contract.
"""

import hmac
import json
from base64 import b64encode
from collections.abc import Mapping
from datetime import UTC, datetime
from hashlib import sha256
from typing import Final

from approvals.validation.messages import (
    Outcome,
    Question,
    ServiceAnswer,
    ServiceVerdict,
    read_object,
    text_of,
)
from outbound.errors import NoAnswer

VERSION: Final = 1
FRESH_SECONDS: Final = 300  # a receiver refuses older messages: a copied message is worthless later
SIGNATURE: Final = "X-Portal-Signature"
IDENTIFIER: Final = "X-Portal-Id"
TIMESTAMP: Final = "X-Portal-Timestamp"
MIN_SECRET: Final = 32
OF: Final = "webhook"

Body = dict[str, object]


def probe_body(profile: str) -> Body:
    """Return the test message: a receiver checks the signature and may answer anything."""
    return {"kind": "probe", "profile": profile}


def validate_body(question: Question) -> Body:
    """Return the question whether this challenge belongs to this request."""
    return _about("validate", question) | {"challenge": question.challenge}


def outcome_body(question: Question, outcome: Outcome) -> Body:
    """Return the report of a request that the receiver had allowed."""
    if not outcome.is_issued:
        return _about("refused", question) | {"reason": outcome.reason}
    certificate = {
        "raw": b64encode(outcome.certificate_der).decode(),
        "sha256": sha256(outcome.certificate_der).hexdigest(),
        "serial": outcome.serial_hex,
        "notBefore": _time(outcome.not_before),
        "notAfter": _time(outcome.not_after),
    }
    return _about("issued", question) | {"certificate": certificate}


def encode(
    body: Body, *, identifier: str, secret: str, now: datetime
) -> tuple[bytes, dict[str, str]]:
    """Return the bytes to send and their headers.

    The signature is HMAC-SHA256 over exactly these bytes, in hex.
    """
    stamp = _time(now)
    data = json.dumps({"version": VERSION, "id": identifier, "timestamp": stamp, **body}).encode()
    headers = {
        "Content-Type": "application/json",
        "Accept": "application/json",
        IDENTIFIER: identifier,
        TIMESTAMP: stamp,
        SIGNATURE: signature_of(data, secret),
    }
    return data, headers


def signature_of(data: bytes, secret: str) -> str:
    """Return the signature of a body: HMAC-SHA256 (RFC 2104) under the secret in UTF-8, in hex."""
    return hmac.new(secret.encode(), data, sha256).hexdigest()


def read_answer(status: int, body: bytes, *, challenge: str) -> ServiceAnswer:
    """Read `{"action": "allow" | "deny" | "ask", "reason": …}`, or step-ca's `{"allow": true}`.

    Raises NoAnswer for another status than 200, and for anything other than exactly one answer. A
    repeated challenge is removed from its text.
    """
    if status != 200:
        raise NoAnswer(f"{OF}: HTTP {status}")
    document = read_object(body, of=OF)
    if ("action" in document) == ("allow" in document):
        raise NoAnswer(f'{OF}: the answer has to have either "action" or "allow"')
    return (
        _by_action(document, challenge) if "action" in document else _by_allow(document, challenge)
    )


def _by_action(document: Mapping[str, object], challenge: str) -> ServiceAnswer:
    actions = {verb.value: verb for verb in ServiceVerdict}
    action = document["action"]
    if not isinstance(action, str) or action not in actions:
        raise NoAnswer(f'{OF}: "action" has to be one of {", ".join(actions)}')
    return ServiceAnswer(
        actions[action],
        code=action,
        reason=text_of(document.get("reason", ""), challenge=challenge),
    )


def _by_allow(document: Mapping[str, object], challenge: str) -> ServiceAnswer:
    allow = document["allow"]
    if not isinstance(allow, bool):
        raise NoAnswer(f'{OF}: "allow" has to be true or false')
    error = document.get("error")
    details = error if isinstance(error, dict) else {}
    code = text_of(details.get("code"), challenge=challenge) or ("allow" if allow else "deny")
    reason = text_of(details.get("message"), challenge=challenge)
    return ServiceAnswer(
        ServiceVerdict.ALLOW if allow else ServiceVerdict.DENY, code=code[:64], reason=reason
    )


def _about(kind: str, question: Question) -> Body:
    return {
        "kind": kind,
        "request": question.request_id,
        "profile": question.profile,
        "transactionID": question.transaction_id,
        "address": question.address,
        "submittedAt": _time(question.submitted_at),
        "csr": {
            "raw": b64encode(question.csr_der).decode(),
            "sha256": question.csr_sha256,
            "publicKeySha256": question.spki_sha256,
            "subject": question.subject,
            "names": list(question.names),
            "key": question.key,
        },
    }


def _time(moment: datetime | None) -> str:
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ") if moment else ""
