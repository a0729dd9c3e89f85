"""Verifies a SignerInfo (RFC 5652 5.4 and 5.6, RFC 4056 for PSS, RFC 5754 for SHA-2)."""

from __future__ import annotations

import hashlib
import hmac
from dataclasses import dataclass
from typing import Final

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey

from ca.x509.asn1 import (
    CONSTRUCTED,
    CONTEXT,
    TLV,
    explicit,
    integer,
    octets,
    oid,
    parse_exact,
    sequence,
)
from scep.protocol.certificates import UnusableKeyError, load_public_key
from scep.protocol.constants import (
    ATTR_CONTENT_TYPE,
    ATTR_MESSAGE_DIGEST,
    DIGESTS,
    ECDSA_SIGNATURES,
    ID_DATA,
    LEGACY_DIGESTS,
    LEGACY_ECDSA_SIGNATURES,
    LEGACY_RSA_SIGNATURES,
    MGF1,
    MIN_PSS_SALT,
    REFUSED_DIGESTS,
    REFUSED_SIGNATURES,
    RSA_ENCRYPTION,
    RSA_PSS,
    RSA_SIGNATURES,
    SHA_1,
    DigestName,
    FailInfo,
)
from scep.protocol.errors import Refused
from scep.protocol.messages import STRICT, MessageRules, SignerCertificate
from scep.protocol.signed_data import SignerInfo

HASHES: Final[dict[DigestName, hashes.HashAlgorithm]] = {
    "sha1": hashes.SHA1(),  # noqa: S303 - for profiles that say so
    "sha256": hashes.SHA256(),
    "sha384": hashes.SHA384(),
    "sha512": hashes.SHA512(),
}


@dataclass(frozen=True, slots=True)
class _Scheme:
    """A signature scheme: the kind of key, and PSS if a salt length is given."""

    is_rsa: bool
    salt_length: int | None = None


def known_digest(signer: SignerInfo, rules: MessageRules) -> DigestName | None:
    """Return the digest of a SignerInfo, None for one that is not accepted."""
    return DIGESTS.get(signer.digest_oid) or (
        LEGACY_DIGESTS.get(signer.digest_oid) if rules.legacy_algorithms else None
    )


def accepted_digest(signer: SignerInfo, rules: MessageRules = STRICT) -> DigestName:
    """Return the digest of a SignerInfo. Raises Refused badAlg naming one that is not accepted."""
    name = known_digest(signer, rules)
    if name is None:
        raise Refused(
            FailInfo.BAD_ALG,
            f"digest algorithm {_named(signer.digest_oid, REFUSED_DIGESTS)}: use SHA-256",
        )
    return name


def check_digest(signer: SignerInfo, content: bytes, digest: DigestName) -> None:
    """Check that contentType and messageDigest occur once and fit the content.

    Raises Refused badMessageCheck.
    """
    content_type = signer.single(ATTR_CONTENT_TYPE)
    if content_type is None or content_type.raw != ID_DATA:
        raise Refused(
            FailInfo.BAD_MESSAGE_CHECK, "signed attribute contentType: id-data is needed once"
        )
    message_digest = signer.single(ATTR_MESSAGE_DIGEST)
    if message_digest is None:
        raise Refused(FailInfo.BAD_MESSAGE_CHECK, "signed attribute messageDigest: needed once")
    if not hmac.compare_digest(octets(message_digest), hashlib.new(digest, content).digest()):
        raise Refused(FailInfo.BAD_MESSAGE_CHECK, "messageDigest does not fit the content")


def check_signature(signer: SignerInfo, certificate: SignerCertificate, digest: DigestName) -> None:
    """Verify the signature of the certificate's key over the signed attributes.

    Raises Refused, Asn1Error.
    """
    scheme = _read_scheme(signer.signature_algorithm, digest)
    try:
        key = load_public_key(certificate.spki_der)
    except UnusableKeyError as error:
        raise Refused(
            FailInfo.BAD_MESSAGE_CHECK, "signer key is not supported", cause=str(error)
        ) from error
    if scheme.is_rsa != isinstance(key, RSAPublicKey):
        raise Refused(FailInfo.BAD_MESSAGE_CHECK, "signature algorithm does not fit the signer key")
    if not any(
        _verifies(key, signer.signature, data, scheme, digest) for data in signer.signed_bytes()
    ):
        raise Refused(FailInfo.BAD_MESSAGE_CHECK, "signature does not verify")


def _verifies(
    key: RSAPublicKey | EllipticCurvePublicKey,
    signature: bytes,
    data: bytes,
    scheme: _Scheme,
    digest: DigestName,
) -> bool:
    algorithm = HASHES[digest]
    try:
        if isinstance(key, EllipticCurvePublicKey):
            key.verify(signature, data, ec.ECDSA(algorithm))
        elif scheme.salt_length is not None:
            key.verify(
                signature, data, padding.PSS(padding.MGF1(algorithm), scheme.salt_length), algorithm
            )
        else:
            key.verify(signature, data, padding.PKCS1v15(), algorithm)
    except (InvalidSignature, ValueError, UnsupportedAlgorithm):
        return False
    return True


def _read_scheme(tlv: TLV, digest: DigestName) -> _Scheme:
    members = sequence(tlv, 1)
    algorithm = members[0].raw
    if algorithm == RSA_ENCRYPTION:
        return _Scheme(is_rsa=True)
    if algorithm == RSA_PSS:
        return _read_pss(members, digest)
    # A sender may use SHA-1 only if the digest algorithm, checked before, says so.
    rsa_signatures = LEGACY_RSA_SIGNATURES if digest == "sha1" else RSA_SIGNATURES
    ecdsa_signatures = LEGACY_ECDSA_SIGNATURES if digest == "sha1" else ECDSA_SIGNATURES
    is_rsa = algorithm in rsa_signatures
    digest_name = rsa_signatures.get(algorithm) or ecdsa_signatures.get(algorithm)
    if digest_name is None:
        raise Refused(
            FailInfo.BAD_ALG,
            f"signature algorithm {_named(algorithm, REFUSED_SIGNATURES)}: use RSA with SHA-256",
        )
    _require_same(digest_name, digest)
    return _Scheme(is_rsa=is_rsa)


def _read_pss(members: list[TLV], digest: DigestName) -> _Scheme:
    """RSASSA-PSS-params (RFC 4055 3.1): the message's digest for hash and MGF1, salt, trailer 1."""
    parameters = _explicit_parameters(members[1]) if len(members) > 1 else {}
    _require_same(_hash_name(parameters.get(0), digest), digest)
    mask = sequence(parameters[1], 2) if 1 in parameters else []
    if mask and mask[0].raw != MGF1:
        raise Refused(FailInfo.BAD_ALG, "RSASSA-PSS mask generation: use MGF1")
    _require_same(_hash_name(mask[1] if mask else None, digest), digest)
    salt_length = integer(parameters[2]) if 2 in parameters else 20
    if not MIN_PSS_SALT <= salt_length <= 512:
        raise Refused(
            FailInfo.BAD_ALG, f"RSASSA-PSS salt of {salt_length} bytes: at least {MIN_PSS_SALT}"
        )
    if 3 in parameters and integer(parameters[3]) != 1:
        raise Refused(FailInfo.BAD_ALG, "RSASSA-PSS trailer field: 1 is needed")
    return _Scheme(is_rsa=True, salt_length=salt_length)


def _explicit_parameters(tlv: TLV) -> dict[int, TLV]:
    parameters: dict[int, TLV] = {}
    for member in sequence(tlv):
        parameters[member.tag & ~(CONTEXT | CONSTRUCTED)] = explicit(member, member.tag)
    return parameters


def _hash_name(algorithm: TLV | None, digest: DigestName) -> DigestName:
    digest_oid = sequence(algorithm, 1)[0].raw if algorithm is not None else SHA_1
    name = (DIGESTS | LEGACY_DIGESTS if digest == "sha1" else DIGESTS).get(digest_oid)
    if name is None:
        raise Refused(
            FailInfo.BAD_ALG, f"RSASSA-PSS hash {_named(digest_oid, REFUSED_DIGESTS)}: use SHA-256"
        )
    return name


def _require_same(digest_name: DigestName, digest: DigestName) -> None:
    if digest_name != digest:
        raise Refused(
            FailInfo.BAD_MESSAGE_CHECK,
            f"signature algorithm with {digest_name}: digest algorithm is {digest}, use one",
        )


def _named(algorithm_oid: bytes, names: dict[bytes, str]) -> str:
    return names.get(algorithm_oid) or oid(parse_exact(algorithm_oid))
