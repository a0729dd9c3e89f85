"""Lines of the documents for curl and OpenSSL, against a running portal."""

import subprocess
from pathlib import Path

import pytest

from tests.flows.documented import LINES
from tests.interop.clients import Chain
from tests.interop.conftest import program
from tests.interop.portal import Portal

pytestmark = pytest.mark.interop


def lines(document: str, *programs: str) -> str:
    """Return the lines of a document for these programs, which must be installed."""
    for name in programs:
        program(name, name)
    commands = [
        line.text for line in LINES if line.document == document and line.text.startswith(programs)
    ]
    assert commands
    return "\n".join(["set -e", *commands])


def test_openssl_makes_a_secret_for_a_webhook(tmp_path: Path) -> None:
    subprocess.run(["sh", "-c", lines("docs/mdm.md", "openssl")], cwd=tmp_path, check=True)
    assert len((tmp_path / "webhook.txt").read_text().strip()) == 64


def test_a_crl_is_fetched_and_used(portal: Portal, chain: Chain, tmp_path: Path) -> None:
    name = "documented-crl.example"
    demo = portal.popen("demo", "--name", name, "--out", str(tmp_path), stdout=subprocess.DEVNULL)
    portal.approve(name)
    assert demo.wait(60) == 0
    (tmp_path / f"{name}.cert.pem").rename(tmp_path / "router.pem")
    (tmp_path / "demo.pem").write_bytes(chain.issuing.read_bytes())
    text = lines("docs/revocation.md", "curl", "openssl").replace(
        "issuing", "demo"
    )  # the CA of this portal
    connect = (
        f'curl() {{ command curl --connect-to pki.example:80:127.0.0.1:{portal.port} "$@"; }}\n'
    )
    done = subprocess.run(
        ["sh", "-c", connect + text], cwd=tmp_path, text=True, capture_output=True, check=False
    )
    assert (done.returncode, done.stdout.strip()) == (0, "router.pem: OK"), done.stderr
