"""A program over real HTTP: a challenge ordered with a token, a device, the certificate."""

import json
from datetime import UTC, datetime
from http.client import HTTPConnection
from typing import Any

import pytest

from scep.client import Identity, ScepClient, build_csr
from scep.protocol.constants import PKIStatus
from tests.interop.portal import OFFICER, Portal, wait_until
from tests.pki import rsa_key

pytestmark = pytest.mark.interop


def call(
    portal: Portal, token: str, method: str, path: str, body: object = None
) -> tuple[int, Any]:
    """Speak JSON to the portal."""
    connection = HTTPConnection("127.0.0.1", portal.port, timeout=20)
    headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
    connection.request(
        method, f"/api/v1{path}", None if body is None else json.dumps(body), headers
    )
    answer = connection.getresponse()
    document = json.loads(answer.read())
    connection.close()
    assert "json" in (answer.headers["Content-Type"] or "")
    assert answer.headers["Set-Cookie"] is None
    return answer.status, document


def test_a_program_orders_a_challenge_and_sees_the_certificate(portal: Portal) -> None:
    options = ("--owner", OFFICER, "--scope", "challenge:create", "--scope", "request:view")
    token = portal.run("tokens", "create", "mdm sync", *options).strip()
    name = "rest.example"
    order = {"profile": "once", "bound_to": {"common_name": name}, "created_for": "asset 4711"}
    status, answer = call(portal, token, "POST", "/challenges", order)
    assert status == 201, answer
    (challenge,) = answer["challenges"]
    device = Identity.self_signed(rsa_key("device-5"), name, now=datetime.now(UTC))
    client = ScepClient(portal.scep("once"))
    csr = build_csr(device.key, name, challenge_password=challenge["challenge"])
    assert client.enroll(csr, device).status in (PKIStatus.SUCCESS, PKIStatus.PENDING)
    wait_until(lambda: client.poll(device).status is PKIStatus.SUCCESS, what="the certificate")
    status, document = call(portal, token, "GET", f"/challenges/{challenge['id']}")
    assert (status, document["state"], "challenge" in document) == (200, "used", False)
    assert document["request"]["certificate"]["status"] == "issued"
    assert call(portal, token, "GET", f"/requests/{document['request']['id']}") == (
        200,
        document["request"],
    )
    assert call(portal, token, "DELETE", f"/challenges/{challenge['id']}")[0] == 422
    assert call(portal, token, "GET", "/profiles")[0] == 403, "the token has no scope for it"
    portal.run("tokens", "revoke", token)
    assert call(portal, token, "GET", f"/challenges/{challenge['id']}")[0] == 401
