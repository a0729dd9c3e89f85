"""A decoded enrollment message, independent of its protocol.

PURE.
"""

from dataclasses import dataclass, field
from hashlib import sha256
from typing import Final

from ca.x509.csr import CertificationRequest

#: Adds nothing to the key. certmonger 0.79 writes a new one into each CSR for the same key.
_SUBJECT_KEY_IDENTIFIER: Final = "2.5.29.14"


@dataclass(frozen=True, slots=True)
class Submission:
    """A decoded enrollment message: the CSR, its signer and its sender's address."""

    csr: CertificationRequest
    transaction_id: str
    signer_spki_sha256: bytes
    signer_certificate_der: bytes
    signer_is_self_issued: bool
    address: str
    client: str = ""
    is_password_needed: bool = (
        False  # the signer's key cannot decrypt: the answer is encrypted with the challenge
    )
    #: The message is a RenewalReq. A PKCSReq signed by an issued certificate is a renewal too.
    is_renewal: bool = False
    signer_issuer_der: bytes = field(default=b"", repr=False)
    signer_serial_der: bytes = b""
    addressed_ca: int | None = (
        None  # key of the CA to whose RA certificate it was encrypted; None: the profile's
    )

    @property
    def shown_name(self) -> str:
        """The display name of the request: its subject, else its first alternative name, or ""."""
        names = [f"{name.kind}:{name.value}" for name in self.csr.requested_sans[:1]]
        return str(self.csr.subject) or "".join(names)

    def content_sha256(self) -> bytes:
        """Return the digest of subject, key and requested extensions: equal for repeats.

        subjectKeyIdentifier is left out: it is never copied, and the key itself is in the digest.
        """
        digest = sha256(self.csr.subject.der)
        digest.update(self.csr.spki_sha256)
        extensions = [
            item for item in self.csr.requested_extensions if item.oid != _SUBJECT_KEY_IDENTIFIER
        ]
        for extension in sorted(extensions, key=lambda item: item.oid):
            digest.update(
                b"%d:%s:%d:" % (extension.critical, extension.oid.encode(), len(extension.value))
            )
            digest.update(extension.value)
        return digest.digest()
