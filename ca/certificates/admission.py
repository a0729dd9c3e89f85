"""The one check of a request before a certificate: the profile's rules and the CA's records.

The door, the officer's page, the inspector and the signing worker all call `review_csr`, so that
none is laxer.
"""

from collections.abc import Collection, Mapping

from django.db import connection

from ca.content.csr_review import CaRecords, CsrReview, ProfileSpec, check_csr
from ca.content.issuers import IssuerFacts
from ca.content.key_records import KeyRecord
from ca.models.authorities import CertificateAuthority
from ca.models.keys import ServiceKey
from ca.x509.csr import CertificationRequest, decode_csr
from ca.x509.name_matching import ComparableName, comparable_name
from ca.x509.names import decode_name
from database.caches import remembered
from database.statements import places

#: A new authority or key changes one of these; neither is ever deleted or changed.
_OWN = """
SELECT a.n, a.low, a.high, k.n, k.low, k.high FROM
(SELECT COUNT(*) n, MIN(certificate_sha256) low, MAX(certificate_sha256) high
    FROM ca_certificateauthority) a,
(SELECT COUNT(*) n, MIN(spki_sha256) low, MAX(spki_sha256) high FROM ca_servicekey) k
"""
_RECORDS = """
SELECT spki_sha256, '', '' FROM ca_blockedkey WHERE spki_sha256 IN ({keys})
UNION ALL
SELECT spki_sha256, serial_hex, revocation_reason FROM ca_certificate
WHERE spki_sha256 IN ({keys}) AND status IN ('REVOKED', 'ON_HOLD')
"""


def review_csr(csr: CertificationRequest, spec: ProfileSpec) -> CsrReview:
    """Check a request against its profile, the portal's names, the block list and revocations."""
    return check_csr(csr, spec, CaRecords(key_record(csr.spki_sha256), reserved_names()))


def reserved_names() -> frozenset[ComparableName]:
    """Return the subjects of every authority and every key of the portal, next CAs included.

    Read once per process, and again when there is a new authority or key.
    """
    with connection.cursor() as cursor:
        cursor.execute(_OWN)
        return _reserved_names(cursor.fetchone())


@remembered("names of authorities and own keys", most=4)
def _reserved_names(state: tuple[object, ...]) -> frozenset[ComparableName]:
    subjects = [
        IssuerFacts.from_certificate(ca.certificate_der).subject_der
        for ca in CertificateAuthority.objects.all()
    ]
    own = [
        decode_csr(bytes(csr)).subject for csr in ServiceKey.objects.values_list("csr", flat=True)
    ]
    return frozenset(map(comparable_name, [*map(decode_name, subjects), *own]))


def key_record(spki_sha256: bytes) -> KeyRecord:
    """Return the record of the key with this SHA-256 over its SPKI."""
    return key_records([spki_sha256.hex()])[spki_sha256.hex()]


def key_records(keys: Collection[str]) -> Mapping[str, KeyRecord]:
    """Return the record of each of these keys (SHA-256 over the SPKI, hex), in one query.

    Every enrollment message asks it: written as SQL, since compiling a query costs more than
    running it.
    """
    digests = sorted(set(keys))
    if not digests:
        return {}
    statement = _RECORDS.format(keys=places(digests))
    with connection.cursor() as cursor:
        cursor.execute(statement, [*digests, *digests])
        rows = cursor.fetchall()
    return {
        key: KeyRecord(
            is_blocked=any(digest == key and not serial for digest, serial, _ in rows),
            revoked=tuple(
                sorted(
                    (serial, reason) for digest, serial, reason in rows if digest == key and serial
                )
            ),
        )
        for key in digests
    }
