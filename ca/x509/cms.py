"""CMS SignedData of certificates: certs-only (RFC 8894 3.4), and signed for GetNextCACert (4.7.1).

PURE. Certificates keep the given order, which some clients rely on: a DER encoder would sort them
(BER allows any order).
"""

import hashlib
from collections.abc import Callable, Iterable, Sequence
from typing import Final

from ca.x509.asn1 import (
    DER_NULL,
    der_context,
    der_octets,
    der_oid,
    der_sequence,
    der_set,
    der_set_of,
    parse_exact,
    sequence,
)

_ID_DATA: Final = der_oid("1.2.840.113549.1.7.1")
_ID_SIGNED_DATA: Final = der_oid("1.2.840.113549.1.7.2")
_CONTENT_TYPE: Final = der_oid("1.2.840.113549.1.9.3")
_MESSAGE_DIGEST: Final = der_oid("1.2.840.113549.1.9.4")
_VERSION_1: Final = b"\x02\x01\x01"
_EMPTY_SET: Final = b"\x31\x00"
_SHA256: Final = der_sequence(der_oid("2.16.840.1.101.3.4.2.1"), DER_NULL)
_SHA384: Final = der_sequence(der_oid("2.16.840.1.101.3.4.2.2"), DER_NULL)
#: The signature of each kind of CA key: digest, its AlgorithmIdentifier, and that of the signature
#: (RFC 5754 3.2, 3.3).
_SIGNING: Final = {
    "rsa-sha256": ("sha256", _SHA256, der_sequence(der_oid("1.2.840.113549.1.1.1"), DER_NULL)),
    "ecdsa-sha256": ("sha256", _SHA256, der_sequence(der_oid("1.2.840.10045.4.3.2"))),
    "ecdsa-sha384": ("sha384", _SHA384, der_sequence(der_oid("1.2.840.10045.4.3.3"))),
}


def encode_degenerate(certificates: Iterable[bytes], crls: Iterable[bytes] = ()) -> bytes:
    """A certs-only SignedData (RFC 8894 section 3.4) in the order given."""
    encoded = b"".join(certificates)
    revoked = b"".join(crls)
    signed = der_sequence(
        _VERSION_1,
        _EMPTY_SET,
        der_sequence(_ID_DATA),
        der_context(0, encoded) if encoded else b"",
        der_context(1, revoked) if revoked else b"",
        _EMPTY_SET,
    )
    return der_sequence(_ID_SIGNED_DATA, der_context(0, signed))


def encode_next_certificates(
    certificates: Sequence[bytes],
    *,
    signer_der: bytes,
    algorithm: str,
    sign: Callable[[bytes, str], bytes],
) -> bytes:
    """A GetNextCACert answer: a certs-only message inside, signed by the CA of `signer_der`.

    The outer set contains `certificates` and signer as well: clients read either the one or the
    other. `algorithm` is the CA's signature algorithm for certificates; `sign` is called once.
    Raises ValueError for an unknown algorithm.
    """
    if algorithm not in _SIGNING:
        raise ValueError(f"signature algorithm {algorithm!r}: allowed are {', '.join(_SIGNING)}")
    digest, digest_algorithm, signature_algorithm = _SIGNING[algorithm]
    content = encode_degenerate(certificates)
    attributes = der_set_of(
        der_sequence(_CONTENT_TYPE, der_set(_ID_DATA)),
        der_sequence(_MESSAGE_DIGEST, der_set(der_octets(hashlib.new(digest, content).digest()))),
    )
    signer_info = der_sequence(
        _VERSION_1,
        _issuer_and_serial(signer_der),
        digest_algorithm,
        b"\xa0" + attributes[1:],
        signature_algorithm,
        der_octets(sign(attributes, algorithm)),
    )
    others = [certificate for certificate in certificates if certificate != signer_der]
    signed = der_sequence(
        _VERSION_1,
        der_set(digest_algorithm),
        der_sequence(_ID_DATA, der_context(0, der_octets(content))),
        der_context(0, signer_der, *others),
        der_set(signer_info),
    )
    return der_sequence(_ID_SIGNED_DATA, der_context(0, signed))


def _issuer_and_serial(certificate_der: bytes) -> bytes:
    """IssuerAndSerialNumber (RFC 5652 section 10.2.4) of a version 3 certificate, byte for byte."""
    members = sequence(sequence(parse_exact(certificate_der), 1)[0], 4)
    return der_sequence(members[3].raw, members[1].raw)
