"""certmonger: GET only, and it asks again with the PKCSReq it sent before, never with CertPoll."""

import json

import pytest

from tests.interop.clients import Certmonger, Chain
from tests.interop.conftest import STATIC_CHALLENGE
from tests.interop.officer import Officer
from tests.interop.portal import Portal, wait_until

pytestmark = pytest.mark.interop

REJECTED = "CA_REJECTED Transaction either is not permitted or is not supported by server."


@pytest.mark.cell("certmonger", "approved", "PKCSReq again")
@pytest.mark.browser
def test_it_gets_its_certificate_at_the_refresh_after_an_approval_in_a_browser(
    certmonger: Certmonger, officer: Officer, portal: Portal, chain: Chain, authority: str
) -> None:
    name = "monger-approved.example"
    certificate = certmonger.request(authority, name)
    certmonger.wait_until(name, "CA_WORKING")
    officer.approve(name)
    certmonger.refresh_until(name, "MONITORING")
    assert chain.verifies(certificate)
    assert [state for _, state in portal.requests(name)] == ["ISSUED"]


@pytest.mark.cell("certmonger", "rejected", "CA_REJECTED")
@pytest.mark.cell("certmonger", "ra")
def test_it_finds_ra_and_cas_by_itself_and_reports_a_rejection(
    certmonger: Certmonger, portal: Portal
) -> None:
    name = "monger-rejected.example"
    certmonger.add_authority("as-found", portal.scep(), None)
    certificate = certmonger.request("as-found", name)
    certmonger.wait_until(name, "CA_WORKING")
    portal.reject(name, "Wrong site code, use BRN")
    assert certmonger.refresh_until(name, "CA_REJECTED") == REJECTED
    assert not certificate.exists()


@pytest.mark.cell("certmonger", "challenge", "CA_REJECTED")
@pytest.mark.cell("certmonger", "get")
@pytest.mark.cell("certmonger", "chain")
def test_a_wrong_challenge_is_rejected_and_the_right_one_waits_for_an_officer(
    certmonger: Certmonger, portal: Portal, chain: Chain
) -> None:
    wrong, right = "monger-wrong.example", "monger-right.example"
    certmonger.add_authority("static", portal.scep("static"), chain)
    certmonger.request("static", wrong, "-L", "eight-loud-otters")
    certificate = certmonger.request("static", right, "-L", STATIC_CHALLENGE)
    assert certmonger.wait_until(wrong, "CA_REJECTED") == REJECTED
    certmonger.wait_until(right, "CA_WORKING")
    portal.approve(right)
    certmonger.refresh_until(right, "MONITORING")
    assert chain.verifies(certificate)
    assert portal.requests(wrong) == []


@pytest.mark.cell("certmonger", "renewal", "PKCSReq, same key")
@pytest.mark.cell("certmonger", "automatic")
def test_it_renews_with_the_same_transaction_and_key_and_its_used_challenge(
    certmonger: Certmonger, portal: Portal, chain: Chain
) -> None:
    name = "monger-renews.example"
    certmonger.add_authority("renewing", portal.scep("renewing"), chain)
    (challenge,) = json.loads(portal.run("createchallenge", "renewing", "--json"))
    certificate = certmonger.request("renewing", name, "-L", challenge["challenge"])
    certmonger.wait_until(name, "MONITORING")
    for count in (2, 3):
        old = certificate.read_bytes()
        certmonger.getcert("resubmit", "-i", name)
        wait_until(lambda old=old: certificate.read_bytes() != old, what="another certificate")  # type: ignore[misc]
        certmonger.wait_until(name, "MONITORING")
        assert chain.verifies(certificate)
        assert [state for _, state in portal.requests(name)] == ["ISSUED"] * count


def test_a_resubmission_while_waiting_is_the_same_request(
    certmonger: Certmonger, portal: Portal, chain: Chain, authority: str
) -> None:
    name = "monger-again.example"
    certificate = certmonger.request(authority, name)
    certmonger.wait_until(name, "CA_WORKING")
    certmonger.getcert("resubmit", "-i", name)
    portal.approve(name)
    certmonger.refresh_until(name, "MONITORING")
    assert chain.verifies(certificate)
    assert [state for _, state in portal.requests(name)] == ["ISSUED"]
