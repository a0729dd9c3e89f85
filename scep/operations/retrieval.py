"""GetCert and GetCRL (RFC 8894 §3.3.4)."""

from approvals.enrollment.retrieval import CertificateQuery, get_certificate
from approvals.rules.errors import Cause, Refusal
from ca.certificates.crls import crl_of_issuer
from ca.models.certificates import Certificate
from ca.x509.asn1 import Asn1Error
from scep.operations.context import MessageContext, opened
from scep.protocol.certificates import read_issuer_and_serial
from scep.protocol.constants import FailInfo, PKIStatus
from scep.protocol.envelope import answer_cipher
from scep.protocol.errors import NOT_OPENED, Refused, Unreadable
from scep.protocol.messages import CertRep, PKIMessage


def require_rsa(message: PKIMessage) -> None:
    """Refuse a signer without an RSA key: nothing in these messages could encrypt the answer to it
    (RFC 8894 §3.1).
    """
    if message.signer.key_algorithm != "rsa":
        raise Refused(
            FailInfo.BAD_ALG,
            "the certificate that signs the message needs an RSA key: the answer is encrypted to "
            "it",
            cause=Cause.SIGNER_ALGORITHM.value,
            reply=message.reply,
        )


def get_crl(message: PKIMessage, context: MessageContext) -> CertRep:
    """A CRL is public, so any signer gets it; no transaction is opened (RFC 8894 §3.3.4)."""
    issuer, _ = _named_inside(message, context)  # the serial number decides nothing
    crl = crl_of_issuer(context.issuer_meant(issuer))
    if crl is None:
        raise Refused(
            FailInfo.BAD_CERT_ID, "there is no CRL of this issuer here", reply=message.reply
        )
    cipher = answer_cipher(message, context.rules)
    return CertRep(
        reply=message.reply,
        status=PKIStatus.SUCCESS,
        crls=(crl,),
        recipient=message.signer,
        content_cipher=cipher,
    )


def _named_inside(message: PKIMessage, context: MessageContext) -> tuple[bytes, bytes]:
    """Return issuer and serial number of a GetCert or GetCRL; empty ones if unreadable.

    Nothing proves that the sender knows the content. Its own answer for "unreadable" would be a CBC
    oracle: it would read out any captured envelope, since with the right blocks around them its
    octets are lengths, and one value of each makes it readable (`scep.protocol.errors`).
    """
    try:
        return read_issuer_and_serial(opened(message, context))
    except Asn1Error:
        context.notes.detail = NOT_OPENED
    except Unreadable as refused:
        context.notes.detail = refused.cause
    return b"", b""


def get_cert(message: PKIMessage, context: MessageContext) -> Certificate | Refusal:
    """Return the certificate that a GetCert names, to the device that has its key."""
    issuer, serial = _named_inside(message, context)
    query = CertificateQuery(
        issuer_der=context.issuer_meant(issuer),
        serial_der=serial,
        signer_spki_sha256=message.signer.spki_sha256,
        signer_certificate_der=message.signer.der,
        address=context.address,
        detail=context.notes.detail,
    )
    return get_certificate(query, profile=context.profile, now=context.now)
