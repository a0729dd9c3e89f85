"""What the CA refuses, as classes that carry the facts and one sentence for people."""


class CaError(Exception):
    """Anything the CA says no to; `str()` is a sentence that may be shown."""


class AuthorityUnusable(CaError):
    """The authority cannot sign now (expired, not yet valid, key and certificate do not match, key not readable)."""


class AuthorityExists(CaError):
    """An authority of that name exists."""


class CertificateRefused(CaError):
    """Policy or lint refused what was to be signed; nothing was signed."""

    def __init__(self, findings: tuple[str, ...]) -> None:
        super().__init__("; ".join(findings))
        self.findings = findings


class RecordMismatch(CaError):
    """A signed certificate is not the one that was prepared; nothing was recorded."""
