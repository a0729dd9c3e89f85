"""The throw-away device of a run: it speaks SCEP, counts bytes, and checks every answer."""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime

from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey

from scep.client import Identity, ScepClient, build_csr
from scep.protocol.constants import FailInfo, MessageType, PKIStatus
from scep.protocol.requests import ReceivedCertRep, RequestParameters, SentRequest, encode_request
from scep.transport import HttpAnswer, Transport
from selftest.errors import StepFailed


@dataclass(slots=True)
class Meter:
    """A transport that counts bytes of bodies and GET queries; HTTP headers are not counted."""

    http: Transport
    messages: int = 0
    sent: int = 0
    received: int = 0

    def __call__(self, url: str, body: bytes | None) -> HttpAnswer:
        answer = self.http(url, body)
        self.messages += 1
        self.sent += len(url.partition("?")[2]) if body is None else len(body)
        self.received += len(answer.body)
        return answer

    def take(self) -> tuple[int, int, int]:
        """Return messages, bytes sent and bytes received since the last call."""
        counts = (self.messages, self.sent, self.received)
        self.messages = self.sent = self.received = 0
        return counts


@dataclass(frozen=True, slots=True)
class ThrowawayDevice:
    """One device with one key. HttpError and BadCertRep of the client pass through."""

    name: str
    key: RSAPrivateKey = field(repr=False)
    identity: Identity = field(repr=False)
    meter: Meter
    scep: ScepClient
    entropy: Callable[[int], bytes]

    @classmethod
    def new(
        cls,
        name: str,
        key: RSAPrivateKey,
        meter: Meter,
        *,
        url: str,
        entropy: Callable[[int], bytes],
        now: datetime,
    ) -> "ThrowawayDevice":
        """Return a device with a self-signed certificate of one day for its key."""
        identity = Identity.self_signed(key, name, now=now, days=1)
        return cls(name, key, identity, meter, ScepClient(url, meter, entropy=entropy), entropy)

    def enroll(self) -> ReceivedCertRep:
        """Send the PKCSReq with the device's common name and DNS name."""
        return self.scep.enroll(
            build_csr(self.key, self.name, dns_names=[self.name]), self.identity
        )

    def send_with_damaged_signature(self) -> ReceivedCertRep:
        """Send a PKCSReq whose last byte, part of the signature, is changed."""
        sent = self._message(build_csr(self.key, self.name, dns_names=[self.name]))
        damaged = SentRequest(
            sent.der[:-1] + bytes((sent.der[-1] ^ 1,)), sent.transaction_id, sent.sender_nonce
        )
        return self.scep.send(damaged, self.identity)

    def send_without_csr(self) -> ReceivedCertRep:
        """Send a PKCSReq, well signed and encrypted, without a certificate request inside."""
        return self.scep.send(self._message(b"\x30\x00"), self.identity)

    def _message(self, content: bytes) -> SentRequest:
        recipient = self.scep.get_ca_cert().encryption_der
        parameters = RequestParameters(
            MessageType.PKCS_REQ, self.identity.transaction_id, recipient
        )
        return encode_request(content, parameters, signer=self.identity, entropy=self.entropy)


def expect(answer: ReceivedCertRep, status: PKIStatus, fail_info: FailInfo | None = None) -> str:
    """Return the answer as text if it has this status; else raise StepFailed with the answer."""
    if (answer.status, answer.fail_info) != (status, fail_info):
        expected = status.name if fail_info is None else f"{status.name} {fail_info.spelled}"
        raise StepFailed(f"answer {describe(answer)}, expected was {expected}")
    return describe(answer)


def describe(answer: ReceivedCertRep) -> str:
    """Return pkiStatus, failInfo and failInfoText of an answer."""
    parts = [answer.status.name, answer.fail_info.spelled if answer.fail_info is not None else ""]
    text = " ".join(filter(None, parts))
    return f"{text}: {answer.fail_info_text}" if answer.fail_info_text else text
