"""strongSwan's `pki --scep`: it polls with CertPoll and prints failInfo."""

import json

import pytest

from tests.interop.clients import Chain, StrongSwan
from tests.interop.officer import Officer
from tests.interop.portal import Portal
from tests.pki import FOLDER

pytestmark = pytest.mark.interop

BAD_REQUEST = "failInfo:     badRequest - transaction not permitted or supported"
BAD_ALGORITHM = "failInfo:     badAlg - unrecognized or unsupported algorithm identifier"


@pytest.mark.cell("strongswan", "approved", "CertPoll")
@pytest.mark.cell("strongswan", "again", "the same certificate")
@pytest.mark.browser
def test_it_waits_until_an_officer_approves_in_a_browser_and_gets_the_same_certificate_again(
    strongswan: StrongSwan, officer: Officer, portal: Portal, chain: Chain
) -> None:
    name, key = "swan-approved.example", FOLDER / "alice.key.pem"
    waiting = strongswan.enroll(portal.scep(), name, key)
    waiting.wait_until_pending()
    officer.approve(name, "fingerprint read by phone")
    assert waiting.status() == 0, waiting.said
    assert f'Issued certificate "C=DE, O=Exp, CN={name}"' in waiting.said
    assert "Issued certificate is trusted" in waiting.said
    assert chain.verifies(waiting.certificate)
    first = waiting.certificate.read_bytes()
    again = strongswan.enroll(portal.scep(), name, key)
    assert again.status() == 0, again.said
    assert "SCEP request pending" not in again.said
    assert again.certificate.read_bytes() == first
    assert [state for _, state in portal.requests(name)] == ["ISSUED"]


@pytest.mark.cell("strongswan", "rejected", "prints badRequest")
@pytest.mark.browser
def test_it_prints_bad_request_when_an_officer_rejects_in_a_browser(
    strongswan: StrongSwan, officer: Officer, portal: Portal
) -> None:
    name = "swan-rejected.example"
    waiting = strongswan.enroll(portal.scep(), name, FOLDER / "bob.key.pem")
    waiting.wait_until_pending()
    officer.reject(name, "Wrong site code, use BRN")
    assert waiting.status() == 1
    assert BAD_REQUEST in waiting.said
    assert waiting.certificate.read_bytes() == b""


@pytest.mark.cell("strongswan", "challenge", "prints badRequest")
@pytest.mark.cell("strongswan", "automatic")
def test_a_wrong_one_time_challenge_is_refused_and_the_right_one_gives_a_certificate_at_once(
    strongswan: StrongSwan, portal: Portal, chain: Chain
) -> None:
    name, key = "swan-challenge.example", FOLDER / "device-1.key.pem"
    (challenge,) = json.loads(portal.run("createchallenge", "once", "--json"))
    wrong = strongswan.enroll(
        portal.scep("once"), name, key, "--password", "wrong" + challenge["challenge"][5:]
    )
    assert wrong.status() == 1
    assert BAD_REQUEST in wrong.said
    right = strongswan.enroll(portal.scep("once"), name, key, "--password", challenge["challenge"])
    assert right.status() == 0, right.said
    assert "SCEP request pending" not in right.said
    assert chain.verifies(right.certificate)
    other = strongswan.enroll(
        portal.scep("once"),
        "swan-thief.example",
        FOLDER / "device-2.key.pem",
        "--password",
        challenge["challenge"],
    )
    assert other.status() == 1, "a challenge that was used before"
    assert BAD_REQUEST in other.said


def test_sha_384_with_pss_padding_is_understood_and_a_device_switched_off_while_it_waits_goes_on(
    strongswan: StrongSwan, portal: Portal, chain: Chain
) -> None:
    name, key = "swan-pss.example", FOLDER / "device-3.key.pem"
    options = ["--digest", "sha384", "--rsa-padding", "pss"]
    switched_off = strongswan.enroll(portal.scep(), name, key, *options)
    switched_off.wait_until_pending()
    switched_off.process.kill()
    switched_off.process.wait()
    waiting = strongswan.enroll(portal.scep(), name, key, *options)
    waiting.wait_until_pending()
    portal.approve(name)
    assert waiting.status() == 0, waiting.said
    assert chain.verifies(waiting.certificate)
    assert [state for _, state in portal.requests(name)] == ["ISSUED"]


@pytest.mark.cell("strongswan", "renewal", "RenewalReq")
@pytest.mark.parametrize("options", [[], ["--digest", "sha512"]])
def test_it_renews_with_its_certificate_and_a_new_key_without_a_challenge(
    strongswan: StrongSwan, portal: Portal, chain: Chain, options: list[str]
) -> None:
    name, key, new = (
        f"swan-renews-{len(options)}.example",
        FOLDER / "device-5.key.pem",
        FOLDER / "device-6.key.pem",
    )
    if options:
        key, new = FOLDER / "device-7.key.pem", FOLDER / "device-8.key.pem"
    (challenge,) = json.loads(portal.run("createchallenge", "renewing", "--json"))
    first = strongswan.enroll(
        portal.scep("renewing"), name, key, "--password", challenge["challenge"]
    )
    assert first.status() == 0, first.said
    old = first.certificate.with_suffix(".old.crt")
    old.write_bytes(first.certificate.read_bytes())
    renewal = ["--cert", str(old), "--key", str(key), *options]
    second = strongswan.enroll(portal.scep("renewing"), name, new, *renewal)
    assert second.status() == 0, second.said
    assert chain.verifies(second.certificate)
    assert second.certificate.read_bytes() != old.read_bytes()
    assert [state for _, state in portal.requests(name)] == ["ISSUED", "ISSUED"]


def test_triple_des_is_refused_with_bad_algorithm(strongswan: StrongSwan, portal: Portal) -> None:
    name = "swan-3des.example"
    refused = strongswan.enroll(
        portal.scep(), name, FOLDER / "device-4.key.pem", "--cipher", "des3"
    )
    assert refused.status() == 1
    assert BAD_ALGORITHM in refused.said
    assert portal.requests(name) == []


@pytest.mark.parametrize("address", ["scep/old/", "certsrv/mscep/old/mscep.dll/pkiclient.exe"])
def test_a_device_of_sha_1_and_triple_des_enrolls_where_a_profile_says_so(
    strongswan: StrongSwan, portal: Portal, chain: Chain, old: str, address: str
) -> None:
    name, key = (
        f"swan-old-{len(address)}.example",
        FOLDER / f"device-{1 + len(address) % 2}.key.pem",
    )
    (challenge,) = json.loads(portal.run("createchallenge", old, "--json"))
    options = ["--cipher", "des3", "--digest", "sha1", "--password", challenge["challenge"]]
    done = strongswan.enroll(f"http://127.0.0.1:{portal.port}/{address}", name, key, *options)
    assert done.status() == 0, done.said
    assert chain.verifies(done.certificate)


@pytest.mark.cell("strongswan", "ra")
@pytest.mark.cell("strongswan", "chain")
def test_it_sorts_root_issuing_ca_and_ra_by_itself(strongswan: StrongSwan, portal: Portal) -> None:
    output = strongswan.fetch_authorities(portal.scep())
    assert 'Root CA cert "O=PKI portal demo, CN=Demo Root CA"' in output
    assert "Sub CA cert is trusted" in output
    assert "RA cert is trusted" in output
    assert "written to 'ra.der'" in output
