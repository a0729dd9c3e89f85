"""GetCACaps and GetCACert for curl and OpenSSL."""

import subprocess
from pathlib import Path

import pytest

from tests.interop.conftest import program
from tests.interop.portal import Portal

pytestmark = pytest.mark.interop


def curl(url: str, *options: str) -> tuple[str, bytes]:
    """Return status and Content-Type as sent, and the body."""
    command = [program("curl", "curl"), "--silent", "--show-error", "--max-time", "15", *options]
    done = subprocess.run(
        [*command, "--write-out", "\n%{http_code} %{content_type}", url],
        capture_output=True,
        check=True,
    )
    body, _, facts = done.stdout.rpartition(b"\n")
    return facts.decode(), body


@pytest.mark.parametrize(
    "options", [(), ("--http1.0", "--header", "Host:")], ids=["HTTP/1.1", "HTTP/1.0 without Host"]
)
def test_the_capabilities_are_plain_lines_in_plain_text(
    portal: Portal, options: tuple[str, ...]
) -> None:
    facts, body = curl(f"{portal.scep()}?operation=GetCACaps&message=", *options)
    assert facts == "200 text/plain"
    lines = body.decode("ascii").splitlines()
    assert set(lines) == {
        "AES",
        "POSTPKIOperation",
        "SCEPStandard",
        "SHA-256",
        "SHA-384",
        "SHA-512",
    }
    assert [line.strip() for line in lines] == lines
    assert len(body) <= 1024


def test_the_certificates_are_ra_issuing_ca_and_root_in_this_order(
    portal: Portal, tmp_path: Path
) -> None:
    facts, body = curl(f"{portal.scep()}?operation=GetCACert&message=default")
    assert facts == "200 application/x-x509-ca-ra-cert"
    answer = tmp_path / "answer.p7b"
    answer.write_bytes(body)
    command = [
        program("openssl", "openssl"),
        "pkcs7",
        "-inform",
        "DER",
        "-in",
        str(answer),
        "-print_certs",
        "-noout",
    ]
    output = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    subjects = [
        line.rpartition("CN = ")[2] for line in output.splitlines() if line.startswith("subject")
    ]
    assert subjects == ["SCEP RA demo", "Demo Issuing CA", "Demo Root CA"]


def test_only_what_is_no_message_at_all_gets_an_http_error(portal: Portal) -> None:
    facts, _ = curl(f"{portal.scep()}?operation=PKIOperation", "--data-binary", "no message")
    assert facts.startswith("400 text/plain")
    facts, _ = curl(f"{portal.scep('nowhere')}?operation=GetCACaps")
    assert facts.startswith("404 ")
