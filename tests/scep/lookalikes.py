"""Messages in the form of devices that cannot run here, built from known facts.

Each is the device's message for Alice's key; `again` is its message after PENDING.
tests/vectors/README.md tells what each has in common with the device, and the source.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta
from functools import cache
from typing import Final
from urllib.parse import quote

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from ca.x509.asn1 import (
    DER_NULL,
    PRINTABLE_STRING,
    UTF8_STRING,
    der,
    der_bit_string,
    der_boolean,
    der_context,
    der_integer,
    der_oid,
    der_sequence,
)
from ca.x509.names import build_name
from scep.protocol import constants as c
from scep.protocol.certificates import read_certificate
from tests.ca.forge import (
    attribute,
    dns,
    extension,
    extension_request,
    raw_name,
    request_der,
    san,
    spki,
)
from tests.pki import rsa_key
from tests.scep.forge import NOW, Envelope, Message

IA5_STRING: Final = 0x16
_CN, _O, _C = "2.5.4.3", "2.5.4.10", "2.5.4.6"
_SHA1_WITH_RSA: Final = der_sequence(der_oid("1.2.840.113549.1.1.5"), DER_NULL)
_SHA256_WITH_RSA: Final = der_sequence(der_oid("1.2.840.113549.1.1.11"), DER_NULL)
_KEY_USAGE: Final = extension(
    "2.5.29.15", bytes.fromhex("030205a0"), critical=der_boolean(value=True)
)
_KEY: Final = rsa_key("alice")
_SPKI: Final = spki(_KEY)
_NONCE: Final = bytes(range(100, 116))
_NEXT_NONCE: Final = bytes(range(200, 216))

Send = Callable[[bytes], tuple[str, bytes | None, str]]


@dataclass(frozen=True)
class LookAlike:
    """One device: its certificate request, how it signs and envelops it, and how it asks again."""

    name: str
    common_name: str
    csr: bytes = field(repr=False)
    signer: bytes = field(repr=False)
    transaction_id: str
    send: Send
    polls: bool = True  # with CertPoll; else it sends its request again
    repeats_bytes: bool = False
    names_ra: bool = False  # in CertPoll, where the CA's name belongs
    nonce: bytes = _NONCE
    digest: str = "sha256"
    cipher: str = "aes-128-cbc"
    cek: bytes = b"k" * 16
    oaep_hash: str | None = None
    is_ber: bool = False
    client: str = ""

    def first(self, ra_certificate: bytes) -> bytes:
        """The PKCSReq."""
        return self._message(ra_certificate, self.csr, "19", self.nonce)

    def again(self, ra_certificate: bytes) -> bytes:
        """Return its message after PENDING."""
        if self.repeats_bytes:
            return self.first(ra_certificate)
        if not self.polls:
            return self._message(ra_certificate, self.csr, "19", _NEXT_NONCE)
        recipient, signer = read_certificate(ra_certificate), read_certificate(self.signer)
        issuer = recipient.subject_der if self.names_ra else recipient.issuer_der
        return self._message(
            ra_certificate, der_sequence(issuer, signer.subject_der), "20", _NEXT_NONCE
        )

    def _message(
        self, ra_certificate: bytes, plaintext: bytes, message_type: str, nonce: bytes
    ) -> bytes:
        envelope = Envelope(
            plaintext=plaintext,
            recipient_certificate=ra_certificate,
            cipher_oid=next(oid for oid, name in c.CIPHERS.items() if name == self.cipher),
            cek=self.cek,
            oaep_hash=self.oaep_hash,
            constructed=self.is_ber,
        )
        return Message(
            envelope=envelope,
            key=_KEY,
            certificate=self.signer,
            message_type=message_type,
            transaction_id=self.transaction_id,
            sender_nonce=nonce,
            digest=self.digest,
            indefinite=self.is_ber,
        ).encode()


# ------------------------------------------------------------------------------------- certificates


def _certificate(
    subject: bytes,
    *,
    serial: bytes = b"\x02\x01\x01",
    extensions: tuple[bytes, ...] = (),
    version_1: bool = False,
    is_sha1: bool = False,
) -> bytes:
    """A self-signed certificate of Alice's key, as odd as devices make them."""
    algorithm = _SHA1_WITH_RSA if is_sha1 else _SHA256_WITH_RSA
    start, end = (
        der(0x17, f"{when:%y%m%d%H%M%SZ}".encode()) for when in (NOW, NOW + timedelta(days=6))
    )
    tbs = der_sequence(
        b"" if version_1 else der_context(0, der_integer(2)),
        serial,
        algorithm,
        subject,
        der_sequence(start, end),
        subject,
        _SPKI,
        der_context(3, der_sequence(*extensions)) if extensions else b"",
    )
    hash_algorithm = hashes.SHA1() if is_sha1 else hashes.SHA256()  # noqa: S303 - as the device does
    return der_sequence(
        tbs, algorithm, der_bit_string(_KEY.sign(tbs, padding.PKCS1v15(), hash_algorithm))
    )


def _printable(*attributes: tuple[str, str]) -> bytes:
    return raw_name(*((oid, PRINTABLE_STRING, value.encode()) for oid, value in attributes))


def _hash(name: str, data: bytes = _SPKI) -> str:
    return hashlib.new(name, data, usedforsecurity=False).hexdigest()


# -------------------------------------------------------------------------------------- on the wire


def _post(content_type: str) -> Send:
    return lambda message: ("operation=PKIOperation", message, content_type)


def _get(spell: Callable[[str], str]) -> Send:
    """GET with the base64 of a message as one device spells it."""
    return lambda message: (
        f"operation=PKIOperation&message={spell(base64.b64encode(message).decode())}",
        None,
        "",
    )


def _lines(text: str) -> str:
    """Lines of 64 characters, with a line break after each, percent-encoded."""
    return "".join(
        f"{quote(text[start : start + 64], safe='')}%0A" for start in range(0, len(text), 64)
    )


# ------------------------------------------------------------------------------------------ devices


@cache
def lookalikes() -> tuple[LookAlike, ...]:
    """Every device."""
    return (
        _apple(),
        _macos(),
        _windows(),
        _cisco(),
        _sscep(),
        _jscep(),
        _certmonger(),
        _micromdm(),
    )


def _apple() -> LookAlike:
    raw_key = _KEY.public_key().public_bytes(Encoding.DER, PublicFormat.PKCS1)
    subject = build_name([("C", "DE"), ("O", "Exp"), ("CN", "iphone-7")]).der
    return LookAlike(
        name="iOS",
        common_name="iphone-7",
        csr=request_der(subject, extension_request(_KEY_USAGE, san(dns("iphone-7.example")))),
        signer=_certificate(
            _printable((_CN, "5E2F3A77-8C1B-4B6C-9A40-0F2B6C9D1E11")), extensions=(_KEY_USAGE,)
        ),
        transaction_id=_hash("sha1", raw_key).upper(),
        send=_post("application/x-pki-message"),
        nonce=bytes(8),
        is_ber=True,
        client="profiled/1.0 CFNetwork/1494.0.7 Darwin/23.4.0",
    )


def _macos() -> LookAlike:
    subject = build_name([("CN", "mac-7"), ("O", "Exp")]).der
    return LookAlike(
        name="macOS by GET",
        common_name="mac-7",
        csr=request_der(subject, extension_request(_KEY_USAGE)),
        signer=_certificate(
            _printable((_CN, "0B0D5C0E-77D1-4E3C-8F5B-0C1D2E3F4A5B")), extensions=(_KEY_USAGE,)
        ),
        transaction_id=_hash("sha1").upper(),
        send=_get(lambda text: text.replace("=", "%3D")),
        client="mdmclient/1 CFNetwork/1494.0.7 Darwin/23.4.0",
    )


def _windows() -> LookAlike:
    """CertEnroll: OAEP, a SHA-1 signer with a critical authorityKeyIdentifier."""
    identifier = hashlib.sha1(_SPKI, usedforsecurity=False).digest()
    critical = extension(
        "2.5.29.35", der_sequence(der(0x80, identifier)), critical=der_boolean(value=True)
    )
    return LookAlike(
        name="Windows",
        common_name="pc-7",
        csr=request_der(
            build_name([("CN", "pc-7")]).der,
            attribute("1.3.6.1.4.1.311.13.2.3", der(IA5_STRING, b"10.0.22631.2")),
            attribute(
                "1.3.6.1.4.1.311.21.20", der_sequence(der_integer(9), der(UTF8_STRING, b"pc-7"))
            ),
            attribute(
                "1.3.6.1.4.1.311.13.2.2",
                der_sequence(der_integer(1), der(0x1E, "KSP".encode("utf-16-be"))),
            ),
            extension_request(_KEY_USAGE, san(dns("pc-7.example"))),
        ),
        signer=_certificate(
            _printable((_CN, "SCEP Protocol Certificate")), extensions=(critical,), is_sha1=True
        ),
        transaction_id=_hash("sha256").upper(),
        send=_post("application/x-pki-message"),
        oaep_hash="sha1",
        cipher="aes-256-cbc",
        cek=b"k" * 32,
        client="Mozilla/4.0 (compatible; Win32; NDES client)",
    )


def _cisco() -> LookAlike:
    """IOS-XE: GET with line breaks in the base64, host name and serial number in the subject."""
    subject = raw_name(
        ("1.2.840.113549.1.9.2", IA5_STRING, b"r7.example"),
        ("2.5.4.5", PRINTABLE_STRING, b"FTX1840ABCD"),
        (_CN, PRINTABLE_STRING, b"r7"),
    )
    return LookAlike(
        name="Cisco IOS-XE",
        common_name="r7",
        csr=request_der(subject, extension_request(_KEY_USAGE)),
        signer=_certificate(subject, serial=b"\x02\x01\x3a"),
        transaction_id=_hash("md5").upper(),
        send=_get(_lines),
        client="Mozilla/4.0 (compatible; MSIE 5.0; Cisco PKI)",
    )


def _sscep() -> LookAlike:
    """sscep 0.10: part of the transactionID with a NUL as serial number, SHA-512.

    It sends no Content-Type.
    """
    text = _hash("md5").upper()
    subject = build_name([("CN", "sscep-7"), ("O", "Exp")]).der
    return LookAlike(
        name="sscep",
        common_name="sscep-7",
        csr=request_der(subject, extension_request(san(dns("sscep-7.example")))),
        signer=_certificate(subject, serial=der(0x02, text[:31].encode() + b"\0")),
        transaction_id=text,
        send=_post(""),
        names_ra=True,
        digest="sha512",
    )


def _jscep() -> LookAlike:
    """jscep over Bouncy Castle: BER of indefinite length, lower-case hex, a raw plus in GET."""
    return LookAlike(
        name="jscep by GET",
        common_name="jscep-7",
        csr=request_der(build_name([("CN", "jscep-7")]).der),
        signer=_certificate(build_name([("CN", "jscep-7")]).der),
        transaction_id=_hash("sha1"),
        send=_get(str),
        digest="sha512",
        is_ber=True,
        client="Java/17.0.15",
    )


def _certmonger() -> LookAlike:
    """certmonger: a version 1 certificate, a decimal transactionID, AES-256, and no CertPoll."""
    name = der(0x1E, "7-from-certmonger".encode("utf-16-be"))
    subject = build_name([("CN", "monger-7"), ("O", "Exp")]).der
    return LookAlike(
        name="certmonger by GET",
        common_name="monger-7",
        csr=request_der(
            subject,
            attribute("1.2.840.113549.1.9.20", name),
            extension_request(san(dns("monger-7"))),
        ),
        signer=_certificate(subject, serial=der(0x02, bytes(range(1, 33))), version_1=True),
        transaction_id=str(int(_hash("sha256"), 16)),
        send=_get(lambda text: quote(text, safe="")),
        polls=False,
        cipher="aes-256-cbc",
        cek=b"k" * 32,
    )


def _micromdm() -> LookAlike:
    """micromdm's scepclient with AES: the same bytes every 30 seconds, a base64 transactionID."""
    return LookAlike(
        name="micromdm",
        common_name="mdm-7",
        csr=request_der(build_name([("CN", "mdm-7"), ("O", "Exp")]).der),
        signer=_certificate(build_name([("CN", "SCEP SIGNER"), ("O", "Exp")]).der),
        transaction_id=base64.b64encode(hashlib.sha256(_SPKI).digest()).decode(),
        send=_post("application/octet-stream"),
        repeats_bytes=True,
        client="Go-http-client/1.1",
    )
