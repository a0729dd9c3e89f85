"""Apple's configuration profile: its content and the signature around it."""

import plistlib
import subprocess
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding

from approvals.device_setup.configurations.apple import apple, mobileconfig
from approvals.device_setup.configurations.facts import NotExpressible
from approvals.device_setup.configurations.signed_data import sign_content
from tests.approvals.device_setup.configurations.material import (
    FACTS,
    ROOT,
    certificate,
    facts,
    named,
)
from tests.pki import FOLDER, rsa_key


def payload(**changes: Any) -> dict[str, Any]:
    """Return the SCEP payload's content."""
    (scep_payload,) = plistlib.loads(mobileconfig(facts(**changes)))["PayloadContent"]
    content: dict[str, Any] = scep_payload["PayloadContent"]
    return content


def test_the_payload_says_what_a_device_needs_to_wait_for_an_officer() -> None:
    assert payload() == {
        "URL": "http://portal.example/scep/routers/",
        "Name": "routers",
        "Subject": [[["O", "Example Org"]], [["CN", "r1.example"]]],
        "Keysize": 2048,
        "Key Type": "RSA",
        "Key Usage": 5,
        "KeyIsExtractable": False,
        "AllowAllAppsAccess": False,
        "CAFingerprint": bytes.fromhex(ROOT.digests["SHA-1"]),
        "Retries": 1440,
        "RetryDelay": 60,
        "Challenge": FACTS.challenge,
        "SubjectAltName": {"dNSName": "r1.example", "rfc822Name": "noc@example.org"},
    }
    assert payload(is_manual=False)["Retries"] == 60


def test_what_is_not_wanted_is_not_in_it() -> None:
    content = plistlib.loads(mobileconfig(named(("CN", "a"), challenge=None)))["PayloadContent"][0][
        "PayloadContent"
    ]
    assert "Challenge" not in content
    assert "SubjectAltName" not in content


def test_several_names_of_a_kind_and_attributes_without_a_short_name() -> None:
    device_facts = named(
        ("UID", "42"),
        ("CN", "a"),
        sans=(("dns", "a.example"), ("dns", "b.example"), ("upn", "a@b.example")),
    )
    content = plistlib.loads(mobileconfig(device_facts))["PayloadContent"][0]["PayloadContent"]
    assert content["Subject"][0] == [["0.9.2342.19200300.100.1.1", "42"]]
    assert content["SubjectAltName"] == {
        "dNSName": ["a.example", "b.example"],
        "ntPrincipalName": "a@b.example",
    }


def test_the_same_device_gets_the_same_identifiers_and_another_one_others() -> None:
    def identifiers(name: str, challenge: str) -> list[str]:
        configuration = plistlib.loads(mobileconfig(named(("CN", name), challenge=challenge)))
        return [
            configuration["PayloadUUID"],
            configuration["PayloadContent"][0]["PayloadUUID"],
            configuration["PayloadIdentifier"],
        ]

    first, again, other = identifiers("a", "x"), identifiers("a", "y"), identifiers("b", "x")
    assert first == again
    assert first[0] != other[0]
    assert len(set(first)) == 3
    assert first[2] == "example.portal.scep.routers"


def test_text_of_markup_stays_text() -> None:
    name = '</string><key>KeyIsExtractable</key><true/> & "x"'
    content = plistlib.loads(mobileconfig(named(("CN", name))))["PayloadContent"][0][
        "PayloadContent"
    ]
    assert content["Subject"] == [[["CN", name]]]
    assert content["KeyIsExtractable"] is False


def test_an_invisible_character_is_refused() -> None:
    with pytest.raises(NotExpressible, match="<U\\+0000>"):
        mobileconfig(named(("CN", "a\x00b")))
    with pytest.raises(NotExpressible, match="alternative name"):
        mobileconfig(named(("CN", "a"), sans=(("dns", "a\nb"),)))


def test_the_page_says_that_apple_knows_no_addresses_and_when_it_gives_up() -> None:
    warnings = "\n".join(apple(FACTS).warnings)
    assert "24 hours" in warnings
    assert "ip:192.0.2.1" in warnings
    assert "24 hours" not in "\n".join(apple(facts(is_manual=False, is_one_time=False)).warnings)


@pytest.mark.usefixtures("starts_processes")
def test_openssl_verifies_the_signature_and_gives_the_content_back(tmp_path: Path) -> None:
    key = rsa_key("ra")
    signed = sign_content(
        mobileconfig(FACTS),
        chain=[certificate("ra"), certificate("ca")],
        signing_time=datetime(2026, 11, 21, 12, 0, tzinfo=UTC),
        sign=lambda data: key.sign(data, padding.PKCS1v15(), hashes.SHA256()),
    )
    (tmp_path / "signed").write_bytes(signed)
    verify = [
        "openssl",
        "cms",
        "-verify",
        "-inform",
        "DER",
        "-in",
        "signed",
        "-out",
        "content",
        "-purpose",
        "any",
    ]
    trust = ["-CAfile", str(FOLDER / "ca.crt.pem"), "-no_check_time"]
    done = subprocess.run(
        [*verify, *trust], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert "successful" in done.stderr
    assert (tmp_path / "content").read_bytes() == mobileconfig(FACTS)
    (tmp_path / "signed").write_bytes(signed.replace(b"r1.example", b"r2.example"))
    done = subprocess.run(
        [*verify, *trust], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode != 0
