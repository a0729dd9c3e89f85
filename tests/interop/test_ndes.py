"""An MDM over real HTTP: a challenge of the NDES page, a device that enrolls, a worker."""

import base64
import json
import re
from datetime import UTC, datetime
from http.client import HTTPConnection

import pytest

from scep.client import Identity, ScepClient, build_csr
from scep.protocol.constants import FailInfo, PKIStatus
from tests.interop.portal import Portal, wait_until
from tests.pki import rsa_key

pytestmark = pytest.mark.interop

PAGE = "/certsrv/mscep_admin/"


def fetch(portal: Portal, name: str, password: str, path: str = PAGE, status: int = 200) -> bytes:
    """Read the page as an MDM does."""
    credentials = base64.b64encode(f"{name}:{password}".encode()).decode()
    connection = HTTPConnection("127.0.0.1", portal.port, timeout=20)
    connection.request("GET", path, headers={"Authorization": f"Basic {credentials}"})
    answer = connection.getresponse()
    body = answer.read()
    connection.close()
    assert answer.status == status
    assert status != 200 or answer.headers["Content-Type"] == "text/html"
    return body


def test_a_device_enrolls_with_the_challenge_of_the_page_and_it_works_once(
    portal: Portal,
) -> None:
    options = ("--profile", "once", "--owner", "Mobile team", "--max-unused", "1", "--json")
    account = json.loads(portal.run("ndes", "create", "jamf", *options))
    fetch(portal, "jamf", "a guess", status=401)
    page = fetch(portal, "jamf", account["password"], PAGE.rstrip("/")).decode("utf-16-le")
    match = re.search(r"(?i)The enrollment challenge password is: <B> (?P<password>\S*)", page)
    assert match
    full = fetch(portal, "jamf", account["password"]).decode("utf-16-le")
    assert "The password cache is full." in full
    client = ScepClient(portal.scep("once"))
    device, thief = (
        Identity.self_signed(rsa_key(key), key, now=datetime.now(UTC))
        for key in ("device-3", "device-4")
    )
    asked = client.enroll(
        build_csr(device.key, "ndes.example", challenge_password=match["password"]), device
    )
    assert asked.status in (PKIStatus.SUCCESS, PKIStatus.PENDING)
    wait_until(lambda: client.poll(device).status is PKIStatus.SUCCESS, what="the certificate")
    stolen = client.enroll(
        build_csr(thief.key, "thief.example", challenge_password=match["password"]), thief
    )
    assert (stolen.status, stolen.fail_info) == (PKIStatus.FAILURE, FailInfo.BAD_REQUEST)
    fetch(portal, "jamf", account["password"])
    assert "cache is full" in fetch(portal, "jamf", account["password"]).decode("utf-16-le")
