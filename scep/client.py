"""A SCEP client over the server's codec: for demo, self-test, benchmark and tests."""

from __future__ import annotations

import base64
import hashlib
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final
from urllib.parse import quote

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding
from cryptography.hazmat.primitives.asymmetric.ec import ECDSA, EllipticCurvePrivateKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from ca.x509.asn1 import der_sequence
from scep.protocol.certificates import read_certificate, subject_key_identifier
from scep.protocol.constants import CipherName, DigestName, MessageType
from scep.protocol.messages import Entropy, MessageRules
from scep.protocol.requests import (
    BadCertRep,
    ReceivedCertRep,
    RequestParameters,
    SentRequest,
    decode_cert_rep,
    decode_next_certificates,
    encode_request,
    read_certificates,
)
from scep.protocol.signatures import HASHES
from scep.transport import HttpAnswer, HttpError, Transport, fetch
from scep.witness import check_answer, check_certificates, check_next_certificates

PrivateKey = RSAPrivateKey | EllipticCurvePrivateKey

#: What cryptography raises for a certificate that is none.
_UNREADABLE_CERTIFICATE: Final = (
    ValueError,
    x509.DuplicateExtension,
    x509.InvalidVersion,
    x509.UnsupportedGeneralNameType,
)


@dataclass(frozen=True, slots=True)
class Identity:
    """A certificate and its key: it signs requests, and answers are encrypted to it.

    An EC key cannot decrypt. Answers to it are encrypted with `password`, the challengePassword of
    its requests.
    """

    certificate_der: bytes = field(repr=False)
    key: PrivateKey = field(repr=False)
    password: str | None = field(default=None, repr=False)

    @classmethod
    def self_signed(
        cls,
        key: PrivateKey,
        common_name: str,
        *,
        now: datetime,
        days: int = 30,
        password: str | None = None,
    ) -> Identity:
        """Return the certificate of a device that has none yet (RFC 8894 section 2.3)."""
        name = _name(common_name)
        builder = (
            x509.CertificateBuilder()
            .subject_name(name)
            .issuer_name(name)
            .public_key(key.public_key())
        )
        builder = builder.serial_number(x509.random_serial_number())
        builder = builder.not_valid_before(now - timedelta(hours=1)).not_valid_after(
            now + timedelta(days=days)
        )
        return cls(builder.sign(key, hashes.SHA256()).public_bytes(Encoding.DER), key, password)

    @property
    def issuer_der(self) -> bytes:
        return read_certificate(self.certificate_der).issuer_der

    @property
    def serial_der(self) -> bytes:
        return read_certificate(self.certificate_der).serial_der

    @property
    def subject_der(self) -> bytes:
        return read_certificate(self.certificate_der).subject_der

    @property
    def ski(self) -> bytes:
        return subject_key_identifier(self.certificate_der) or b""

    @property
    def transaction_id(self) -> str:
        """Return the upper-case hex SHA-1 of the SubjectPublicKeyInfo, as many clients do."""
        spki = self.key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        return hashlib.sha1(spki, usedforsecurity=False).hexdigest().upper()

    def sign(self, data: bytes, digest: DigestName) -> bytes:
        if isinstance(self.key, EllipticCurvePrivateKey):
            return self.key.sign(data, ECDSA(HASHES[digest]))
        return self.key.sign(data, padding.PKCS1v15(), HASHES[digest])

    @property
    def reply_password(self) -> str | None:
        """The password of answers, None if the key decrypts them."""
        return None if isinstance(self.key, RSAPrivateKey) else self.password

    def decrypt(self, ciphertext: bytes, oaep_hash: str | None) -> bytes:
        if oaep_hash is not None or not isinstance(self.key, RSAPrivateKey):
            raise ValueError(
                "answers are decrypted with an RSA key, never by OAEP, or else with a password"
            )
        return self.key.decrypt(ciphertext, padding.PKCS1v15())


@dataclass(frozen=True, slots=True)
class CaCertificates:
    """The certificates of GetCACert in received order, and their roles for SCEP messages."""

    certificates: tuple[bytes, ...] = field(repr=False)
    encryption_der: bytes = field(repr=False)
    signing_ders: tuple[bytes, ...] = field(repr=False)

    @classmethod
    def from_certificates(cls, certificates: Sequence[bytes]) -> CaCertificates:
        """Find the roles by basicConstraints and keyUsage: RA certificates before CAs.

        Raises BadCertRep.
        """
        try:
            loaded = sorted(
                (x509.load_der_x509_certificate(der) for der in certificates), key=_is_ca
            )
            encrypting = [item for item in loaded if _has_usage(item, "key_encipherment")]
            signing = [item for item in loaded if _has_usage(item, "digital_signature")]
        except _UNREADABLE_CERTIFICATE as error:
            raise BadCertRep(f"GetCACert: a certificate is not readable: {error}") from error
        if not encrypting or not signing:
            raise BadCertRep(
                "GetCACert: certificates with keyEncipherment and digitalSignature are needed"
            )
        return cls(
            tuple(certificates),
            encrypting[0].public_bytes(Encoding.DER),
            tuple(item.public_bytes(Encoding.DER) for item in signing),
        )


def build_csr(
    key: PrivateKey,
    common_name: str,
    *,
    dns_names: Sequence[str] = (),
    challenge_password: str | None = None,
) -> bytes:
    """Return a PKCS #10 request with CN, DNS names and an optional challengePassword."""
    builder = x509.CertificateSigningRequestBuilder().subject_name(_name(common_name))
    if dns_names:
        builder = builder.add_extension(
            x509.SubjectAlternativeName([x509.DNSName(n) for n in dns_names]), critical=False
        )
    if challenge_password is not None:
        builder = builder.add_attribute(
            x509.oid.AttributeOID.CHALLENGE_PASSWORD, challenge_password.encode()
        )
    return builder.sign(key, hashes.SHA256()).public_bytes(Encoding.DER)


def build_pkcs_req(
    csr_der: bytes,
    identity: Identity,
    ra_certificate_der: bytes,
    *,
    transaction_id: str = "",
    renewal: bool = False,
) -> SentRequest:
    """Return a PKCSReq, or a RenewalReq signed by the certificate to renew.

    The default transaction_id is that of the identity's key.
    """
    message_type = MessageType.RENEWAL_REQ if renewal else MessageType.PKCS_REQ
    parameters = RequestParameters(
        message_type, transaction_id or identity.transaction_id, ra_certificate_der
    )
    return encode_request(csr_der, parameters, signer=identity, entropy=os.urandom)


def build_cert_poll(
    identity: Identity,
    ra_certificate_der: bytes,
    *,
    transaction_id: str = "",
    subject_der: bytes = b"",
) -> SentRequest:
    """Return a CertPoll (RFC 8894 section 3.3.3), by default for the identity's transaction."""
    issuer = read_certificate(ra_certificate_der).issuer_der
    content = der_sequence(issuer, subject_der or identity.subject_der)
    parameters = RequestParameters(
        MessageType.CERT_POLL, transaction_id or identity.transaction_id, ra_certificate_der
    )
    return encode_request(content, parameters, signer=identity, entropy=os.urandom)


class ScepClient:
    """Talks to one SCEP URL. HttpError: no SCEP answer; BadCertRep: an untrusted answer.

    With `clock`, messages contain their signing time, for profiles that want it.
    """

    clock: Callable[[], datetime] | None = None

    def __init__(
        self,
        url: str,
        http: Transport = fetch,
        *,
        use_get: bool = False,
        digest: DigestName = "sha256",
        cipher: CipherName = "aes-128-cbc",
        entropy: Entropy = os.urandom,
    ) -> None:
        self._url = url
        self._http = http
        self._use_get = use_get
        self._digest = digest
        self._cipher = cipher
        self._entropy = entropy
        self._ca: CaCertificates | None = None

    def get_ca_caps(self) -> frozenset[str]:
        """The keywords the server offers."""
        body = self._get("GetCACaps").body
        return frozenset(
            line.strip() for line in body.decode("ascii", "replace").splitlines() if line.strip()
        )

    def get_ca_cert(self) -> CaCertificates:
        """Return RA and CA certificates; requested once, then cached.

        They are trusted as received.
        """
        if self._ca is None:
            answer = self._get("GetCACert")
            single = answer.content_type == "application/x-x509-ca-cert"
            received = (answer.body,) if single else read_certificates(answer.body)
            if not single:
                check_certificates(answer.body, received)
            self._ca = CaCertificates.from_certificates(received)
        return self._ca

    def get_next_ca_cert(self) -> CaCertificates:
        """Return the certificates of the next CA, signed by the current one (RFC 8894 4.7)."""
        answer = self._get("GetNextCACert")
        ca_certificates = (
            x509.load_der_x509_certificate(der) for der in self.get_ca_cert().certificates
        )
        trusted = [item.public_bytes(Encoding.DER) for item in ca_certificates if _is_ca(item)]
        certificates = decode_next_certificates(answer.body, trusted=trusted)
        check_next_certificates(answer.body, certificates)
        return CaCertificates.from_certificates(certificates)

    def turn_to(self, certificates: CaCertificates) -> None:
        """Encrypt to these from now on, as after a rollover."""
        self._ca = certificates

    def enroll(
        self, csr_der: bytes, identity: Identity, *, transaction_id: str = "", renewal: bool = False
    ) -> ReceivedCertRep:
        """Send PKCSReq (or RenewalReq) and return the answer, whatever its status."""
        message_type = MessageType.RENEWAL_REQ if renewal else MessageType.PKCS_REQ
        return self._exchange(message_type, csr_der, identity, transaction_id)

    def poll(
        self, identity: Identity, *, transaction_id: str = "", subject_der: bytes = b""
    ) -> ReceivedCertRep:
        """Send one CertPoll and return the answer, whatever its status."""
        issuer = read_certificate(self.get_ca_cert().encryption_der).issuer_der
        content = der_sequence(issuer, subject_der or identity.subject_der)
        return self._exchange(MessageType.CERT_POLL, content, identity, transaction_id)

    def get_cert(self, issuer_der: bytes, serial_der: bytes, identity: Identity) -> ReceivedCertRep:
        """Ask for an issued certificate by issuer and serial number (RFC 8894 section 3.3.4)."""
        return self._exchange(
            MessageType.GET_CERT, der_sequence(issuer_der, serial_der), identity, ""
        )

    def get_crl(self, issuer_der: bytes, serial_der: bytes, identity: Identity) -> ReceivedCertRep:
        """Ask for the CRL of an issuer (RFC 8894 section 3.3.4)."""
        return self._exchange(
            MessageType.GET_CRL, der_sequence(issuer_der, serial_der), identity, ""
        )

    def send(self, sent: SentRequest, identity: Identity) -> ReceivedCertRep:
        """Send a prepared request and verify the answer, with two readers that must agree."""
        body, trusted = self.send_bytes(sent.der).body, self.get_ca_cert().signing_ders
        answer = decode_cert_rep(
            body,
            sent=sent,
            recipient=identity,
            trusted=trusted,
            password=identity.reply_password,
            rules=MessageRules(
                legacy_algorithms=self._digest == "sha1" or self._cipher == "3des-cbc"
            ),
        )
        opener = identity if identity.reply_password is None else None
        check_answer(body, answer, sent=sent, trusted=trusted, opener=opener)
        return answer

    def send_bytes(self, message: bytes) -> HttpAnswer:
        """Send any bytes as PKIOperation, by POST or GET.

        Raises HttpError unless the status is 200.
        """
        if self._use_get:
            return self._get("PKIOperation", quote(base64.b64encode(message), safe=""))
        return self._checked(self._http(f"{self._url}?operation=PKIOperation", message))

    def _exchange(
        self, message_type: MessageType, content: bytes, identity: Identity, transaction_id: str
    ) -> ReceivedCertRep:
        parameters = RequestParameters(
            message_type,
            transaction_id or identity.transaction_id,
            self.get_ca_cert().encryption_der,
            self._digest,
            self._cipher,
            self.clock() if self.clock else None,
        )
        return self.send(
            encode_request(content, parameters, signer=identity, entropy=self._entropy), identity
        )

    def _get(self, operation: str, message: str = "") -> HttpAnswer:
        suffix = f"&message={message}" if message else ""
        return self._checked(self._http(f"{self._url}?operation={operation}{suffix}", None))

    def _checked(self, answer: HttpAnswer) -> HttpAnswer:
        if answer.status != 200:
            text = answer.body[:200].decode("utf-8", "replace").strip()
            raise HttpError(f"{self._url}: HTTP {answer.status} {text}", answer.status)
        return answer


def _name(common_name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(x509.oid.NameOID.COMMON_NAME, common_name)])


def _is_ca(certificate: x509.Certificate) -> bool:
    try:
        return certificate.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    except x509.ExtensionNotFound:
        return False


def _has_usage(certificate: x509.Certificate, usage: str) -> bool:
    """Whether keyUsage allows it; a certificate without keyUsage allows everything."""
    try:
        return bool(
            getattr(certificate.extensions.get_extension_for_class(x509.KeyUsage).value, usage)
        )
    except x509.ExtensionNotFound:
        return True
