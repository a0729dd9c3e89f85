"""Devices that cannot run here: hand-made messages go from PENDING to the certificate."""

import pytest
from django.test import Client

from approvals.decisions.decide import approve_request
from approvals.models.requests import EnrollmentRequest
from scep.client import Identity
from scep.protocol.constants import PKIStatus
from scep.protocol.envelope import open_content
from scep.protocol.requests import read_certificates
from tests.flows.wire import URL, Answer, causes, ra_certificate, read
from tests.pki import rsa_key
from tests.scep.forge import random_bytes
from tests.scep.lookalikes import LookAlike, lookalikes
from tests.world import World, now, principal_of, run_worker


def send(device: LookAlike, message: bytes, *, address: str = URL) -> Answer:
    """Send a message as the device does."""
    query, body, content_type = device.send(message)
    headers = {"HTTP_USER_AGENT": device.client} if device.client else {}
    method = "GET" if body is None else "POST"
    url = f"{address}?{query}"
    return read(Client().generic(method, url, body or b"", content_type, **headers))  # type: ignore[arg-type]  # WSGI environ keys


@pytest.mark.parametrize("device", lookalikes(), ids=lambda device: device.name)
def test_a_message_like_the_device_sends_waits_for_an_officer_and_gets_its_certificate(
    world: World, device: LookAlike
) -> None:
    ra = ra_certificate(world.ca)
    waiting = send(device, device.first(ra))
    assert (waiting.http, waiting.status) == (200, PKIStatus.PENDING), (waiting.text, causes())
    assert waiting.recipient_nonce == device.nonce
    assert waiting.transaction_id == device.transaction_id
    request = EnrollmentRequest.objects.get()
    assert request.common_name == device.common_name
    assert send(device, device.again(ra)).status is PKIStatus.PENDING
    approve_request(
        request_id=request.pk, principal=principal_of(world.alice), comment="", now=now()
    )
    assert run_worker().issued == [request.pk]
    delivered = send(device, device.again(ra))
    assert delivered.status is PKIStatus.SUCCESS, (delivered.text, causes())
    assert delivered.content is not None
    holder = Identity(device.signer, rsa_key("alice"))
    (leaf,) = read_certificates(open_content(delivered.content, [holder], random_bytes))
    request.refresh_from_db()
    assert request.certificate is not None
    assert leaf == request.certificate.certificate_der
    assert causes() == []
    assert EnrollmentRequest.objects.count() == 1
