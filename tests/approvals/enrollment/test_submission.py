"""When an enrollment message counts as a repeat of an earlier one."""

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding

from approvals.rules.submission import Submission
from ca.x509.csr import decode_csr
from tests.pki import rsa_key


def submission(
    *extensions: x509.ExtensionType, name: str = "r1.example", key: str = "alice"
) -> Submission:
    """Return the submission of a CSR with these extensions."""
    builder = x509.CertificateSigningRequestBuilder().subject_name(
        x509.Name([x509.NameAttribute(x509.oid.NameOID.COMMON_NAME, name)])
    )
    for extension in extensions:
        builder = builder.add_extension(extension, critical=False)
    csr = builder.sign(rsa_key(key), hashes.SHA256()).public_bytes(Encoding.DER)
    return Submission(
        csr=decode_csr(csr),
        transaction_id="1",
        signer_spki_sha256=b"",
        signer_certificate_der=b"",
        signer_is_self_issued=True,
        address="127.0.0.1",
    )


def names(*dns_names: str) -> x509.SubjectAlternativeName:
    """Return DNS names as an extension."""
    return x509.SubjectAlternativeName([x509.DNSName(name) for name in dns_names])


def test_another_subject_key_identifier_for_the_same_key_is_a_repeat() -> None:
    first, second = (x509.SubjectKeyIdentifier(bytes([number]) * 20) for number in (1, 2))
    asked = submission(names("r1.example"), first).content_sha256()
    assert submission(names("r1.example"), second).content_sha256() == asked
    assert submission(names("r1.example")).content_sha256() == asked


def test_another_name_key_or_extension_is_not_a_repeat() -> None:
    usage = x509.ExtendedKeyUsage([x509.oid.ExtendedKeyUsageOID.SERVER_AUTH])
    digests = {
        item.content_sha256()
        for item in (
            submission(names("r1.example")),
            submission(names("r2.example")),
            submission(names("r1.example"), usage),
            submission(names("r1.example"), name="r2.example"),
            submission(names("r1.example"), key="bob"),
            submission(),
        )
    }
    assert len(digests) == 6
