"""Finds the transaction of a message in one statement, before any row is loaded.

Most messages are new requests, without anything to load, or polls of waiting devices, which need
only the state. Compiling these queries for each message would cost more than running them.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from django.db import connection

from approvals.models.profiles import EnrollmentProfile
from approvals.models.requests import OPEN_FOR_KEY_SQL, EnrollmentRequest
from approvals.rules.states import State
from ca.models.certificates import Certificate
from database.caches import Cache, register
from database.statements import key_of, key_parameter

_PROFILES = 1024

_PROFILE = """
SELECT p.*, c.current_id, d.slug, d.path, ahead.id, ahead.published_at, ahead.switched_at, behind.id
FROM approvals_enrollmentprofile p
JOIN ca_certificateprofile c ON c.id = p.certificate_profile_id
LEFT JOIN accounts_department d ON d.id = p.department_id
LEFT JOIN ca_authorityrollover ahead ON ahead.ca_id = p.ca_id AND ahead.cancelled_at IS NULL
LEFT JOIN ca_authorityrollover behind
  ON behind.next_ca_id = p.ca_id AND behind.switched_at IS NOT NULL
WHERE p.slug = %s
"""
_DEFAULT = """
SELECT slug, is_default FROM approvals_enrollmentprofile
WHERE is_default OR NOT is_test ORDER BY is_default DESC LIMIT 2
"""
_TRANSACTION = """
SELECT t.id, r.id, r.state FROM approvals_enrollmenttransaction t
JOIN approvals_enrollmentrequest r ON r.id = t.request_id
WHERE t.profile_id = %s AND t.transaction_id = %s AND t.signer_spki_sha256 = %s {which}
"""
_ENROLLMENT = _TRANSACTION.format(which="AND t.renews_id IS NULL")
_RENEWAL = _TRANSACTION.format(which="AND t.renews_id = %s")
_NEWEST = _TRANSACTION.format(which="ORDER BY t.request_id DESC, t.id DESC LIMIT 1")
_OF_KEY = f"""
SELECT r.id FROM approvals_enrollmentrequest r
WHERE r.profile_id = %s AND r.csr_spki_sha256 = %s
AND ({OPEN_FOR_KEY_SQL} OR r.state = '{State.ISSUED}')
ORDER BY r.id DESC LIMIT 10
"""  # noqa: S608 - our own states


@dataclass(frozen=True, slots=True)
class KnownTransaction:
    """A transaction on record, its request, and that request's state."""

    transaction_pk: int
    request_id: UUID
    state: State

    def load(self, profile: EnrollmentProfile) -> EnrollmentRequest:
        """Read the request with its certificate."""
        return load_request(self.request_id, profile)


def find_transaction(
    profile: EnrollmentProfile,
    transaction_id: str,
    signer_spki_sha256: bytes,
    *,
    renewed: Certificate | None,
) -> KnownTransaction | None:
    """Return the transaction of this profile, transactionID, signer key and renewed certificate.

    Returns None if there is none.
    """
    key: list[int | str] = [profile.pk, transaction_id, signer_spki_sha256.hex()]
    if renewed is None:
        return _known(_ENROLLMENT, key)
    return _known(_RENEWAL, [*key, key_parameter(renewed.pk)])


def newest_transaction(
    profile: EnrollmentProfile, transaction_id: str, signer_spki_sha256: bytes
) -> KnownTransaction | None:
    """Return the transaction of a poll: the newest with this transactionID and signer key."""
    return _known(_NEWEST, [profile.pk, transaction_id, signer_spki_sha256.hex()])


def _known(statement: str, parameters: Sequence[int | str]) -> KnownTransaction | None:
    with connection.cursor() as cursor:
        cursor.execute(statement, parameters)
        row = cursor.fetchone()
    return KnownTransaction(row[0], key_of(row[1]), State(row[2])) if row else None


def requests_of_key(profile: EnrollmentProfile, csr_spki_sha256: bytes) -> list[EnrollmentRequest]:
    """Return the open and issued requests of a key at this profile, newest first, at most ten."""
    with connection.cursor() as cursor:
        cursor.execute(_OF_KEY, [profile.pk, csr_spki_sha256.hex()])
        rows = cursor.fetchall()
    return [load_request(key_of(row[0]), profile) for row in rows]


def load_request(request_id: UUID, profile: EnrollmentProfile) -> EnrollmentRequest:
    """Read a request with its certificate; the profile is the caller's."""
    request = EnrollmentRequest.objects.select_related("certificate").get(pk=request_id)
    request.profile = profile
    if request.ca_id == profile.ca_id:
        request.ca = profile.ca
    return request


class ProfileCache:
    """Enrollment profiles with their CAs, cached until their row changes. One per process.

    A whole row is compared, and the CA's stage of rollover, so that any change takes effect with
    the next message.
    """

    def __init__(self) -> None:
        self._rows: Cache[str, tuple[tuple[object, ...], EnrollmentProfile]] = Cache(most=_PROFILES)

    def get(self, slug: str) -> EnrollmentProfile | None:
        """Return the profile of this slug, or None."""
        with connection.cursor() as cursor:
            cursor.execute(_PROFILE, [slug])
            row = cursor.fetchone()
        if row is None:
            return None
        cached = self._rows.get(slug)
        if cached is None or cached[0] != row:
            cached = self._rows.put(slug, (row, _load_profile(slug)))
        return cached[1]

    def default(self) -> EnrollmentProfile | None:
        """Return the default profile; without one, the only profile that is not a test."""
        with connection.cursor() as cursor:
            cursor.execute(_DEFAULT)
            rows = cursor.fetchall()
        is_clear = len(rows) == 1 or (len(rows) > 1 and rows[0][1])
        return self.get(rows[0][0]) if is_clear else None

    def forget(self) -> None:
        """Read everything afresh next time."""
        self._rows.clear()


profiles = ProfileCache()
register("enrollment profiles", profiles.forget)


def _load_profile(slug: str) -> EnrollmentProfile:
    related = ("ca__parent__parent", "certificate_profile", "department", "eligibility")
    return EnrollmentProfile.objects.select_related(*related).get(slug=slug)
