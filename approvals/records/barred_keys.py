"""Keys that are never certified: blocked, or of a certificate revoked for key compromise.

Checked when the message comes, after its validation, at the approval, before signing and before
recording. Two keys of a request count: its own, and its signer's, since the certificate
to renew may be in the hands of a thief.
"""

from collections.abc import Mapping, Sequence
from typing import Final
from uuid import UUID

from approvals.models.requests import EnrollmentRequest
from approvals.rules.errors import Cause, Refusal
from approvals.rules.submission import Submission
from ca.certificates.admission import key_records

#: The sender has the private key. The log has the reason, for officers and administrators.
_TEXT: Final = "this key must not be certified: enroll with a new key"


def refuse_key(submission: Submission) -> Refusal | None:
    """Return the refusal of a message with a barred key (requested or signing), repeats too."""
    keys = dict.fromkeys((submission.csr.spki_sha256.hex(), submission.signer_spki_sha256.hex()))
    records = key_records(keys)
    for key in keys:
        if records[key].fault:
            cause = Cause.KEY_BLOCKED if records[key].is_blocked else Cause.KEY_COMPROMISED
            return Refusal(cause, _TEXT, detail=f"{records[key].fault}: {key}")
    return None


def key_faults(requests: Sequence[EnrollmentRequest]) -> Mapping[UUID, str]:
    """Return, for each request, why its keys cannot be certified, read again; "" if they can."""
    records = key_records({key for request in requests for key in _keys_of(request)})
    return {
        request.pk: next(filter(None, (records[key].fault for key in _keys_of(request))), "")
        for request in requests
    }


def key_fault(request: EnrollmentRequest) -> str:
    """Return the same for one request."""
    return key_faults([request])[request.pk]


def _keys_of(request: EnrollmentRequest) -> tuple[str, str]:
    return request.csr_spki_sha256, request.signer_spki_sha256
