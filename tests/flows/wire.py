"""Messages that no well-behaved client sends, and answers as they stand on the wire."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from time import perf_counter
from typing import Any

from django.db.models import Sum
from django.test import Client

from approvals.models.challenges import ChallengePassword
from approvals.models.profiles import EnrollmentProfile
from approvals.models.requests import EnrollmentRequest
from audit.events import Event
from audit.models import AuditEntry, RepeatedEvent
from ca.models.authorities import CertificateAuthority
from ca.models.certificates import Certificate
from scep.protocol import constants as c
from scep.protocol.constants import FailInfo, PKIStatus
from scep.protocol.signed_data import read_signed_data, read_signer_info
from scep.ra.keys import ra_keys
from tests.pki import ec_key, rsa_key
from tests.scep.forge import ALICE_ID, NONCE, Envelope, Message, ec_certificate, identity
from tests.world import World

URL = "/scep/routers/"
SECONDS = 5.0  # for a whole exchange on a busy machine; in isolation it takes milliseconds


@dataclass(frozen=True)
class Answer:
    """One HTTP answer; the fields of the CertRep are those of RFC 8894 section 3.2.1, as sent."""

    http: int
    headers: dict[str, str] = field(repr=False)
    body: bytes = field(repr=False)
    status: PKIStatus | None = None
    fail_info: FailInfo | None = None
    text: str = ""
    number: str = ""
    transaction_id: str = ""
    recipient_nonce: bytes = b""
    content: bytes | None = field(default=None, repr=False)


def bare(text: str | None) -> str | None:
    """A failInfoText without the number of the refusal at its end."""
    return None if text is None else re.sub(r" \[\d{4}-\d{4}\]$", "", text)


def number_of(text: str | None) -> str:
    """The number at the end of a failInfoText; empty where there is none."""
    match = re.search(r" \[(\d{4}-\d{4})\]$", text or "")
    return match[1] if match else ""


def read(response: Any) -> Answer:
    """Take an HTTP response apart."""
    answer = Answer(response.status_code, dict(response.headers), response.content)
    if answer.headers.get("Content-Type") != "application/x-pki-message":
        return answer
    signed = read_signed_data(answer.body)
    signer = read_signer_info(signed.signer_infos[0])

    def value(oid: bytes) -> bytes:
        tlv = signer.single(oid)
        return tlv.value if tlv is not None else b""

    fail_info = value(c.ATTR_FAIL_INFO)
    return replace(
        answer,
        status=PKIStatus(int(value(c.ATTR_PKI_STATUS))),
        fail_info=FailInfo(int(fail_info)) if fail_info else None,
        text=bare(value(c.ATTR_FAIL_INFO_TEXT).decode()) or "",
        number=number_of(value(c.ATTR_FAIL_INFO_TEXT).decode()),
        transaction_id=value(c.ATTR_TRANSACTION_ID).decode(),
        recipient_nonce=value(c.ATTR_RECIPIENT_NONCE),
        content=signed.content,
    )


def post(message: bytes, profile: str = "routers", **environment: Any) -> Answer:
    """Send a message as old clients do: by POST, without a Content-Type."""
    path = f"/scep/{profile}/?operation=PKIOperation"
    return read(Client().generic("POST", path, message, "", **environment))


def ra_certificate(ca: CertificateAuthority) -> bytes:
    """The certificate that messages are encrypted to."""
    return ra_keys.of(ca)[0].certificate_der


def message(world: World, csr: bytes | None = None, *, key: str = "alice", **pieces: Any) -> bytes:
    """A PKCSReq signed by the key of this name (Carol's is EC), with pieces of `forge`."""
    inside = {
        "recipient_certificate": ra_certificate(world.ca),
        "plaintext": csr,
        **pieces.pop("envelope", {}),
    }
    signer: dict[str, Any] = (
        {"key": ec_key(), "certificate": ec_certificate()}
        if key == "carol"
        else {"key": rsa_key(key), "certificate": identity(key).certificate_der}
    )
    return Message(**{"envelope": Envelope(**inside), **signer, **pieces}).encode()


def refusals() -> int:
    """How many refusals are on record, those counted included."""
    counted = RepeatedEvent.objects.filter(first_entry__event=Event.MESSAGE_REFUSE).aggregate(
        n=Sum("count")
    )["n"]
    return AuditEntry.objects.filter(event=Event.MESSAGE_REFUSE).count() + (counted or 0)


def causes() -> list[str]:
    """The causes of refusals on record, in full, without the name of the profile."""
    names = []
    for data in (
        AuditEntry.objects.filter(event=Event.MESSAGE_REFUSE)
        .order_by("id")
        .values_list("data", flat=True)
    ):
        cause = data["cause"].partition(": ")[2]
        cause = cause.partition(": ")[0] if cause.startswith("policy: ") else cause
        names.append(data.get("detail") or (data["text"] if "…" in cause else cause))
    return names


@contextmanager
def nothing_granted() -> Iterator[None]:
    """Inside this block no request opens, no certificate is made, no challenge used, quickly."""
    before = granted()
    started = perf_counter()
    yield
    assert perf_counter() - started < SECONDS
    assert granted() == before


def granted() -> tuple[int, int, int, list[tuple[object, ...]]]:
    """The counts that an attacker would like to change."""
    return (
        Certificate.objects.count(),
        ChallengePassword.objects.filter(redeemed_at__isnull=False).count(),
        EnrollmentRequest.objects.count(),
        list(
            EnrollmentRequest.objects.order_by("pk").values_list(
                "pk", "state", "version", "content_sha256"
            )
        ),
    )


def refused(
    sent: bytes,
    fail_info: FailInfo,
    text: str | None = None,
    *,
    cause: str | None = None,
    profile: EnrollmentProfile | str = "routers",
    transaction_id: str = ALICE_ID,
    nonce: bytes | None = NONCE,
    **environment: Any,
) -> Answer:
    """Send a message that must get a FAILURE, with one more refusal on record, nothing granted."""
    before = refusals()
    with nothing_granted():
        answer = post(sent, str(profile), **environment)
    assert (answer.http, answer.status, answer.fail_info) == (200, PKIStatus.FAILURE, fail_info), (
        answer.body[:300]
    )
    assert answer.transaction_id == transaction_id
    assert nonce is None or answer.recipient_nonce == nonce
    assert answer.content == b""
    assert refusals() == before + 1
    assert 0 < len(answer.text) + len(" [0000-0000]") <= 255
    assert answer.number
    assert answer.text.isprintable()
    if text is not None:
        assert answer.text == text
    if cause is not None:
        assert cause in causes(), causes()
    return answer


def malformed(sent: bytes, **environment: Any) -> Answer:
    """Send bytes that no CertRep can answer: HTTP 400, and a refusal on record."""
    before = refusals()
    with nothing_granted():
        answer = post(sent, **environment)
    assert (answer.http, answer.headers["Content-Type"]) == (400, "text/plain")
    assert refusals() == before + 1
    return answer


def pending(sent: bytes, profile: str = "routers") -> EnrollmentRequest:
    """Send a message that waits for an officer; returns the newest request."""
    answer = post(sent, profile)
    assert (answer.http, answer.status) == (200, PKIStatus.PENDING), (answer.body[:300], causes())
    return EnrollmentRequest.objects.order_by("-id")[0]
