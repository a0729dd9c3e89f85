"""micromdm's scepclient (DES, SHA-1) is refused, and the answer says why."""

import hashlib
import subprocess
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import pytest
from asn1crypto import cms
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from scep.client import Identity, ScepClient
from scep.protocol.constants import FailInfo, PKIStatus
from scep.protocol.requests import SentRequest
from tests.flows.wire import bare
from tests.interop.clients import Chain
from tests.interop.conftest import program
from tests.interop.portal import Portal
from tests.interop.wire import Wire
from tests.pki import rsa_key

pytestmark = pytest.mark.interop

_TRANSACTION_ID: Final = "2.16.840.1.113733.1.9.7"
_SENDER_NONCE: Final = "2.16.840.1.113733.1.9.5"


def as_sent(message: bytes) -> SentRequest:
    """Read with another library the fields that an answer must repeat."""
    signed = cms.ContentInfo.load(message)["content"]
    values = {
        item["type"].dotted: item["values"][0] for item in signed["signer_infos"][0]["signed_attrs"]
    }
    return SentRequest(
        message, str(values[_TRANSACTION_ID].native), bytes(values[_SENDER_NONCE].native)
    )


@pytest.mark.cell("scepclient", "automatic", "refused: badAlg, with a text")
@pytest.mark.cell("scepclient", "ra")
@pytest.mark.cell("scepclient", "chain")
def test_it_prints_bad_algorithm_and_the_text_is_that_of_the_audit_entry(
    wire: Wire, portal: Portal, chain: Chain, tmp_path: Path
) -> None:
    ra = x509.load_pem_x509_certificate(chain.ra.read_bytes()).public_bytes(Encoding.DER)
    command = [program("scepclient", "scep"), "-server-url", wire.url, "-cn", "mdm.example"]
    command += ["-private-key", "key.pem", "-certificate", "crt.pem"]
    command += ["-ca-fingerprint", hashlib.sha256(ra).hexdigest()]
    done = subprocess.run(
        command, cwd=tmp_path, capture_output=True, text=True, timeout=240, check=False
    )
    assert done.returncode == 1
    assert "PKCSReq (19) request failed, failInfo: badAlg (0)" in done.stdout + done.stderr
    (message,) = wire.sent
    request = as_sent(message)
    identity = Identity.self_signed(rsa_key("device-5"), "mdm.example", now=datetime.now(UTC))
    answer = ScepClient(portal.scep()).send(request, identity)
    assert (answer.status, answer.fail_info) == (PKIStatus.FAILURE, FailInfo.BAD_ALG)
    entry = portal.refusals(request.transaction_id)[0]
    assert entry["fail_info"] == "badAlg"
    assert bare(answer.fail_info_text) == entry["text"] == "digest algorithm SHA-1: use SHA-256"
    assert portal.requests("mdm.example") == []
