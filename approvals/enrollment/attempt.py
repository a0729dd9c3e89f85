"""One enrollment message at a profile, with all facts before a request opens."""

from dataclasses import dataclass

from approvals.enrollment.look_up import (
    KnownTransaction,
)
from approvals.models.profiles import EnrollmentProfile
from approvals.models.requests import EnrollmentRequest
from approvals.rules.submission import Submission
from ca.models.authorities import CertificateAuthority
from ca.models.certificates import Certificate


@dataclass(frozen=True, slots=True)
class Attempt:
    """A submission at a profile, the certificate it renews, if any, and its known transaction."""

    submission: Submission
    profile: EnrollmentProfile
    content: str
    renewed: Certificate | None
    known: KnownTransaction | None

    @property
    def issuer(self) -> CertificateAuthority:
        return self.profile.lineage.issuer_for(self.submission.addressed_ca)

    def is_same(self, request: EnrollmentRequest) -> bool:
        """Whether a request asks for the same content, and for the next CA if that is meant."""
        return request.content_sha256 == self.content and not self.goes_ahead_of(request)

    def goes_ahead_of(self, request: EnrollmentRequest) -> bool:
        """Whether this asks the next CA for content that the current one was asked for.

        See RFC 8894 §5, figure 9.
        """
        return request.ca_id != self.issuer.pk and self.profile.lineage.is_ahead(self.issuer)

    def may_meet(self, request: EnrollmentRequest) -> bool:
        return self.renewed is None or request.renews_id == self.renewed.pk
