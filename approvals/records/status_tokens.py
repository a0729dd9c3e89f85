"""Status tokens: who has one may see how a challenge or a request stands, and nothing else.

Of a token there is only the SHA-256: it has 160 random bits, so the digest cannot be guessed back.
"""

import secrets
from hashlib import sha256
from typing import Final

from approvals.models.challenges import ChallengePassword
from approvals.models.requests import EnrollmentRequest

_TOKEN_BYTES: Final = 20

WithStatus = ChallengePassword | EnrollmentRequest


def give_status_token(subject: WithStatus) -> str:
    """Return a new status token, in the caller's transaction. The one before is void."""
    token = secrets.token_urlsafe(_TOKEN_BYTES)
    digest = _digest(token)
    type(subject).objects.filter(pk=subject.pk).update(status_token_sha256=digest)
    subject.status_token_sha256 = digest
    return token


def by_status_token(token: str) -> WithStatus | None:
    """Return the challenge or the request of a status token, or None."""
    digest = _digest(token)
    challenge = ChallengePassword.objects.filter(status_token_sha256=digest).first()
    return challenge or EnrollmentRequest.objects.filter(status_token_sha256=digest).first()


def _digest(token: str) -> str:
    return sha256(token.encode("utf-8", "replace")).hexdigest()
