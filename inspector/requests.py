"""The certificate request inside a message.

PURE. The challenge password is named; neither its text nor its length is shown.
"""

from collections.abc import Sequence

from ca.x509.asn1 import Asn1Error, children, expect, parse_exact, sequence
from ca.x509.csr import CertificationRequest, decode_csr, read_stored_csr
from ca.x509.errors import CsrError, CsrSignatureInvalid
from ca.x509.findings import Finding
from ca.x509.names import NameMalformed
from inspector.report import Row, Section, Stop, Tone
from scep.protocol.messages import MessageRules

TITLE = "Certificate request"


def looks_like_csr(data: bytes) -> bool:
    """Whether the bytes start like a PKCS #10 request: three members, version and name first."""
    try:
        members = sequence(parse_exact(data), 3)
        return len(members) == 3 and len(sequence(members[0], 3)) <= 4
    except Asn1Error:
        return False


def csr_section(data: bytes, rules: MessageRules) -> tuple[CertificationRequest | None, Section]:
    """Read a CSR; if its signature or algorithm is refused, as far as possible without them."""
    try:
        csr = decode_csr(data, accepts_sha1=rules.legacy_algorithms)
    except CsrError as error:
        return _unsigned(data, error)
    return csr, Section(TITLE, rows_of(csr), "Its signature holds: the sender has the key.", "good")


def _unsigned(data: bytes, error: CsrError) -> tuple[CertificationRequest | None, Section]:
    try:
        csr = read_stored_csr(data)
    except CsrError as again:
        return None, Section(TITLE, stop=Stop(*_where(data), "certificate request", str(again)))
    why = (
        "the signature does not fit the key"
        if isinstance(error, CsrSignatureInvalid)
        else str(error)
    )
    return csr, Section(TITLE, rows_of(csr), f"Refused: {why}.", "bad")


def rows_of(csr: CertificationRequest) -> tuple[Row, ...]:
    """The requested names, key and extensions."""
    names = ", ".join(f"{name.kind}:{name.value}" for name in csr.requested_sans)
    return (
        Row("subject", str(csr.subject) or "(empty)"),
        Row("alternative names", names or "none"),
        Row("key", str(csr.key)),
        Row("public key SHA-256", csr.spki_sha256.hex(), is_code=True),
        Row(
            "requested extensions",
            ", ".join(extension.name for extension in csr.requested_extensions) or "none",
        ),
        Row("challengePassword", "there is one (redacted)" if csr.challenge_at else "none"),
    )


def findings_section(
    findings: Sequence[Finding], profile: str, *, is_refused: bool = False
) -> Section:
    """The findings of the certificate profile, and their effect unless refused already."""
    rows = tuple(Row(finding.severity, finding.text) for finding in findings)
    refused = any(finding.severity == "refuse" for finding in findings)
    if is_refused and not refused:
        return Section(
            f"Rules of profile {profile}",
            rows,
            "The request is refused for the reason above; the rules of the profile add none.",
        )
    tone: Tone = "bad" if refused else "good"
    verdict = "It would be refused." if refused else "No rule of the profile speaks against it."
    return Section(f"Rules of profile {profile}", rows, verdict, tone)


def _where(data: bytes) -> tuple[str, int]:
    """Return the last field that was reached before reading broke."""
    field = ("CertificationRequest", 0)
    try:
        members = sequence(parse_exact(data), 3)
        field = ("CertificationRequestInfo", members[0].start)
        info = sequence(members[0], 3)
        for name, tlv in zip(
            ("version", "subject", "subjectPublicKeyInfo", "attributes"), info, strict=False
        ):
            field = (name, tlv.start)
        if len(info) > 3:
            for attribute in children(expect(info[3], 0xA0)):
                field = ("attribute", attribute.start)
                sequence(attribute, 2)
    except (Asn1Error, NameMalformed):
        return field
    return field
