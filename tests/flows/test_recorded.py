"""Recorded messages of real clients (tests/vectors/scep) go from PENDING to the certificate."""

from pathlib import Path

import pytest
from django.test import Client

from approvals.decisions.decide import approve_request
from approvals.models.requests import EnrollmentRequest
from scep.client import Identity
from scep.protocol.codec import decode_pki_message
from scep.protocol.constants import PKIStatus
from scep.protocol.envelope import open_content
from scep.protocol.requests import read_certificates
from tests.flows.wire import URL, Answer, causes, read
from tests.pki import rsa_key
from tests.scep.forge import random_bytes
from tests.world import World, now, principal_of, run_worker

VECTORS = Path(__file__).parents[1] / "vectors" / "scep"


def send(message: bytes) -> Answer:
    """POST a message as jscep does."""
    return read(Client().post(f"{URL}?operation=PKIOperation", message, "application/octet-stream"))


@pytest.mark.parametrize(
    ("client", "common_name"),
    [("jscep-2.5.7-snapshot", "alice.example"), ("strongswan-5.9.8", "device.example")],
)
def test_a_recorded_request_waits_for_an_officer_and_the_recorded_poll_gets_the_certificate(
    world: World, client: str, common_name: str
) -> None:
    asked, polled = (VECTORS / f"{client}-{name}.der" for name in ("pkcsreq", "certpoll"))
    waiting = send(asked.read_bytes())
    assert (waiting.http, waiting.status) == (200, PKIStatus.PENDING), (waiting.text, causes())
    request = EnrollmentRequest.objects.get()
    assert request.common_name == common_name
    poll = decode_pki_message(polled.read_bytes())
    assert send(polled.read_bytes()).status is PKIStatus.PENDING
    approve_request(
        request_id=request.pk, principal=principal_of(world.alice), comment="", now=now()
    )
    assert run_worker().issued == [request.pk]
    delivered = send(polled.read_bytes())
    assert delivered.status is PKIStatus.SUCCESS, (delivered.text, causes())
    assert (delivered.transaction_id, delivered.recipient_nonce) == (
        poll.transaction_id,
        poll.sender_nonce,
    )
    assert delivered.content is not None
    holder = Identity(poll.signer.der, rsa_key("alice"))
    (leaf,) = read_certificates(open_content(delivered.content, [holder], random_bytes))
    request.refresh_from_db()
    assert request.certificate is not None
    assert leaf == request.certificate.certificate_der
    assert causes() == []
