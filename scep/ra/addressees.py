"""Finds the certificate that a client mistook for the RA certificate.

This is a common reason for unreadable envelopes.
"""

from collections.abc import Collection, Iterator

from approvals.models.profiles import EnrollmentProfile
from ca.models.authorities import CertificateAuthority
from ca.models.keys import ServiceKey, ServicePurpose
from ca.x509.asn1 import Asn1Error, der_sequence
from scep.protocol.certificates import read_certificate, subject_key_identifier
from scep.protocol.envelope import named_recipients
from scep.protocol.messages import PKIMessage

_RA_PURPOSES = (ServicePurpose.RA, ServicePurpose.RA_ENCRYPTION, ServicePurpose.RA_SIGNING)


def mistaken_addressee(message: PKIMessage, profile: EnrollmentProfile) -> str:
    """Return the name of the portal's certificate that an envelope is for but that cannot decrypt.

    Returns "" if the envelope names an unknown certificate.
    """
    names = mistaken_certificates({authority.pk for authority in profile.lineage.authorities()})
    return next((names[rid] for rid in named_recipients(message.envelope) if rid in names), "")


def mistaken_certificates(lineage: Collection[int]) -> dict[bytes, str]:
    """Return the certificates that decrypt nothing for these authorities, by names in envelopes.

    They are every CA of the portal, and every RA certificate that these authorities do not use:
    clients also take one from the address of another profile. Names are IssuerAndSerialNumber in
    DER, and key identifiers.
    """
    return {rid: name for der, name in _mistaken(lineage) for rid in names_of_recipient(der)}


def names_of_recipient(certificate_der: bytes) -> tuple[bytes, ...]:
    """Return the names by which an envelope may call the owner of a certificate."""
    try:
        read = read_certificate(certificate_der)
        names = (der_sequence(read.issuer_der, read.serial_der), subject_key_identifier(read.der))
    except Asn1Error:
        return ()
    return tuple(name for name in names if name)


def _mistaken(lineage: Collection[int]) -> Iterator[tuple[bytes, str]]:
    for authority in CertificateAuthority.objects.order_by("pk"):
        yield authority.certificate_der, f"the certificate of CA {authority.name}"
    keys = ServiceKey.objects.filter(purpose__in=_RA_PURPOSES, certificate__der__isnull=False)
    for key in keys.select_related("ca", "certificate"):
        if key.certificate is None:
            continue
        if key.retired_at is not None:
            yield key.certificate.certificate_der, f"a retired RA certificate of CA {key.ca.name}"
        elif key.purpose == ServicePurpose.RA_SIGNING:
            yield (
                key.certificate.certificate_der,
                f"the RA certificate of CA {key.ca.name} that signs only",
            )
        elif key.ca_id not in lineage:
            yield key.certificate.certificate_der, f"the RA certificate of CA {key.ca.name}"
