"""Which CRL a GetCRL asks for (RFC 8894 §3.3.4): that of the issuer; the serial number beside it decides nothing."""

from ca.asn1 import INTEGER, SEQUENCE, Asn1Error, expect, parse_exact, prescan, sequence
from ca.store import crl_of_issuer


def requested_crl(content: bytes) -> bytes | None:
    """Return the newest CRL of the issuer in an IssuerAndSerialNumber, DER, or None. Raises Asn1Error."""
    prescan(content)
    members = sequence(parse_exact(content), 2)
    if len(members) != 2:
        raise Asn1Error("IssuerAndSerialNumber: two members are needed")
    expect(members[1], INTEGER)
    return crl_of_issuer(expect(members[0], SEQUENCE).raw)
