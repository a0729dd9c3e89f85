"""Refusals of the CA: classes that carry facts and one sentence for people."""


class CaError(Exception):
    """The CA refuses; `str()` is a sentence that may be shown."""


class AuthorityUnusable(CaError):
    """The authority cannot sign now: expired, not yet valid, wrong or unreadable key."""


class NotYourAuthority(CaError):
    """The person may not do this to the authority."""


class AuthorityExists(CaError):
    """An authority of that name exists."""


class CertificateRefused(CaError):
    """Policy or lint refused the content of a certificate; nothing was signed."""

    def __init__(self, findings: tuple[str, ...]) -> None:
        super().__init__("; ".join(findings))
        self.findings = findings


class RecordMismatch(CaError):
    """A signed certificate is not the one that was prepared; nothing was recorded."""


class RevocationReasonUnknown(CaError):
    """Not a reason for which a device's certificate is revoked."""


class NotRevocable(CaError):
    """The certificate cannot be revoked: not signed, abandoned, expired, or the portal's own."""


class AlreadyRevoked(CaError):
    """The certificate is already revoked or on hold; nothing was done twice."""


class NotOnHold(CaError):
    """Only a certificate on hold can be released."""


class KeyBlockRefused(CaError):
    """The block list cannot be changed; the text says why."""


class CrlRefused(CaError):
    """Lint found a fault in a signed CRL; it was not stored, so the old one stays published."""


class RolloverRefused(CaError):
    """A rollover cannot take this step; the text names the obstacle."""


class CsrError(Exception):
    """A refused request; `spki_der` if its key was read, `is_proven` if its signature held."""

    spki_der: bytes = b""
    is_proven: bool = False


class CsrMalformed(CsrError):
    """Not a readable PKCS #10 request, or a contradictory one."""


class CsrSignatureInvalid(CsrError):
    """The signature does not fit key and content: the requester has not proved the key."""


class CsrAlgorithmRefused(CsrError):
    """A key type, key size or signature digest that is never accepted."""
