"""A throw-away device: it enrolls, polls, checks the answers, and stores the result."""

import os
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from pkiportal.management.demo.display import Display
from pkiportal.management.output import iso, shown
from scep.client import Identity, ScepClient, build_csr
from scep.protocol.constants import PKIStatus
from scep.protocol.requests import ReceivedCertRep
from scep.transport import HttpError, Transport

_FIRST_INTERVAL: Final = 1.0  # seconds
_LONGEST_INTERVAL: Final = 10.0
_GROWTH: Final = 1.5


class DemoFault(Exception):
    """The portal's answer is wrong, or the result cannot be stored; the text names the fault."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """The result, as scripts read it."""

    status: PKIStatus
    url: str
    name: str
    transaction_id: str
    refusal: str = ""
    fail_info: str | None = None
    fail_info_text: str | None = None
    chain: tuple[x509.Certificate, ...] = field(default=(), repr=False)
    files: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """Return plain values."""
        leaf = self.chain[0] if self.chain else None
        return {
            "status": self.status.name.lower(),
            "url": self.url,
            "name": self.name,
            "transaction_id": self.transaction_id,
            "serial": f"{leaf.serial_number:x}" if leaf else None,
            "not_after": iso(leaf.not_valid_after_utc) if leaf else None,
            "chain": [item.subject.rfc4514_string() for item in self.chain],
            "fail_info": self.fail_info,
            "fail_info_text": self.fail_info_text,
            "files": list(self.files),
        }


class DemoDevice:
    """One device with one key. HttpError and BadCertRep of the client pass through."""

    def __init__(
        self, name: str, key: RSAPrivateKey, *, url: str, http: Transport, display: Display
    ) -> None:
        self._name = name
        self._key = key
        self._url = url
        self._display = display
        self._client = ScepClient(url, http)
        self._identity = Identity.self_signed(key, name, now=datetime.now(UTC))
        self._folder: Path | None = None
        self._files: list[str] = []

    def keep_in(self, folder: Path) -> None:
        """Write the key at once (mode 0600, no overwriting): a long wait cannot lose it."""
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder
        pem = self._key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        self._write(f"{self._file_name()}.key.pem", pem, mode=0o600)

    def enroll(self, *, challenge: str | None, wait: float) -> Outcome:
        """Run the protocol; polls for at most `wait` seconds."""
        self._say("device", f"{self._name}, transactionID {self._identity.transaction_id}")
        self._say("GetCACaps", ", ".join(sorted(self._client.get_ca_caps())))
        authorities = [
            x509.load_der_x509_certificate(der) for der in self._client.get_ca_cert().certificates
        ]
        self._say("GetCACert", "; ".join(item.subject.rfc4514_string() for item in authorities))
        csr = build_csr(self._key, self._name, dns_names=[self._name], challenge_password=challenge)
        answer = self._client.enroll(csr, self._identity)
        self._say("PKCSReq", _describe(answer))
        if answer.status is PKIStatus.PENDING:
            answer = self._poll(answer, until=time.monotonic() + wait)
        return self._finish(answer, authorities)

    def _poll(self, answer: ReceivedCertRep, *, until: float) -> ReceivedCertRep:
        """Poll at growing intervals; a portal that does not answer is asked again."""
        interval = _FIRST_INTERVAL
        while answer.status is PKIStatus.PENDING and (remaining := until - time.monotonic()) > 0:
            pause = min(interval, remaining)
            self._display.wait(pause, "waiting for an officer")
            try:
                answer = self._client.poll(self._identity)
                self._say("CertPoll", f"{_describe(answer)} (after {pause:.1f} s)")
            except HttpError as error:
                self._say("CertPoll", f"no answer, trying again: {error}")
            interval = min(interval * _GROWTH, _LONGEST_INTERVAL)
        return answer

    def _finish(self, answer: ReceivedCertRep, authorities: Sequence[x509.Certificate]) -> Outcome:
        base = (answer.status, self._url, self._name, self._identity.transaction_id)
        if answer.status is PKIStatus.FAILURE:
            fail_info = answer.fail_info.spelled if answer.fail_info is not None else "no failInfo"
            text = answer.fail_info_text
            refusal = f"refused: {fail_info}" + (f", {shown(text)}" if text else "")
            return Outcome(*base, refusal, fail_info, text, files=tuple(self._files))
        if answer.status is PKIStatus.PENDING:
            return Outcome(*base, files=tuple(self._files))
        chain = checked_chain(answer.certificates, authorities, self._key)
        self._say("chain", " <- ".join(item.subject.rfc4514_string() for item in chain))
        self._say(
            "certificate",
            f"serial {chain[0].serial_number:x}, until {iso(chain[0].not_valid_after_utc)}",
        )
        if self._folder is not None:
            self._write(f"{self._file_name()}.cert.pem", chain[0].public_bytes(Encoding.PEM))
            issuers = b"".join(item.public_bytes(Encoding.PEM) for item in chain[1:])
            self._write(f"{self._file_name()}.ca.pem", issuers)
        return Outcome(*base, chain=tuple(chain), files=tuple(self._files))

    def _say(self, name: str, text: str) -> None:
        self._display.step(name, shown(text))

    def _file_name(self) -> str:
        return (
            "".join(
                c if c.isascii() and (c.isalnum() or c in "-._") else "_" for c in self._name
            ).lstrip(".")
            or "demo"
        )

    def _write(self, name: str, content: bytes, *, mode: int = 0o644) -> None:
        path = (self._folder or Path()) / name
        try:
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
        except FileExistsError:
            raise DemoFault(f"{path}: exists already, choose another --name or --out") from None
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
        self._files.append(str(path))
        self._say("wrote", str(path))


def checked_chain(
    received: Sequence[bytes], authorities: Sequence[x509.Certificate], key: RSAPrivateKey
) -> list[x509.Certificate]:
    """Return the device's certificate and its issuers from GetCACert, each signature checked.

    Raises DemoFault.
    """
    public_key = key.public_key()
    leaf = next(
        (c for c in map(x509.load_der_x509_certificate, received) if c.public_key() == public_key),
        None,
    )
    if leaf is None:
        raise DemoFault("SUCCESS without a certificate for the key of this device")
    chain = [leaf]
    while chain[-1].issuer != chain[-1].subject:
        issuer = next(
            (item for item in authorities if item not in chain and _has_signed(item, chain[-1])),
            None,
        )
        if issuer is None:
            break
        chain.append(issuer)
    if len(chain) == 1:
        raise DemoFault("the certificate is not signed by a CA of GetCACert")
    return chain


def _has_signed(issuer: x509.Certificate, certificate: x509.Certificate) -> bool:
    try:
        certificate.verify_directly_issued_by(issuer)
        return issuer.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    except (ValueError, TypeError, InvalidSignature, x509.ExtensionNotFound):
        return False


def _describe(answer: ReceivedCertRep) -> str:
    if answer.status is not PKIStatus.FAILURE:
        return answer.status.name
    fail_info = answer.fail_info.spelled if answer.fail_info is not None else "without failInfo"
    return f"FAILURE {fail_info}" + (f": {answer.fail_info_text}" if answer.fail_info_text else "")
