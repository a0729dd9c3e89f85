"""Everything an officer needs to judge a request, and the digest of it that goes into the decision."""

from dataclasses import dataclass, replace
from datetime import datetime
from hashlib import sha256

from django.db.models import Q

from accounts.models import User
from accounts.permissions import within
from accounts.roles import Verb
from approvals.models import EnrollmentRequest
from approvals.states import State
from approvals.validations import state_of
from audit.canonical import canonical_json
from ca.admission import review_csr
from ca.csr import CertificationRequest, read_stored_csr
from ca.extensions import key_usages_for
from ca.models import Certificate
from ca.profiles import CsrReview, ProfileSpec
from ca.store import resolve_version

_SHOWN = 10


@dataclass(frozen=True, slots=True)
class Fingerprints:
    """SHA-256 digests to compare out of band (RFC 8894 §2.4), hex."""

    public_key: str
    signer_certificate: str
    csr: str  # empty where the kept CSR is not what the device has, since a challenge was overwritten in it


@dataclass(frozen=True, slots=True)
class WouldIssue:
    """What exactly the certificate would say."""

    subject: str
    names: tuple[str, ...]
    key: str
    validity_days: int
    validity_minutes: int  # instead of the days where it is not 0
    not_after_at_most: datetime  # the CA's own end
    key_usages: tuple[str, ...]
    extended_key_usages: tuple[str, ...]
    addresses: tuple[str, ...]  # of the CRL, the CA's certificate and OCSP
    ca: str
    profile: str
    profile_version: int


@dataclass(frozen=True, slots=True)
class Review:
    """The facts beside a request."""

    sha256: str
    would_issue: WouldIssue
    findings: tuple[dict[str, str], ...]
    requested_extensions: tuple[str, ...]
    dropped: tuple[str, ...]
    fingerprints: Fingerprints
    same_key_requests: tuple[EnrollmentRequest, ...]
    same_name_requests: tuple[EnrollmentRequest, ...]
    same_key_certificates: tuple[Certificate, ...]
    same_name_certificates: tuple[Certificate, ...]


def review_of(request: EnrollmentRequest, viewer: User | None = None) -> Review:
    """Gather what is shown beside a request; reads only. Of the past a viewer sees what they may see elsewhere."""
    spec = resolve_version(request.profile_version_id)
    csr = read_stored_csr(request.csr_der)
    checked = review_csr(csr, spec)
    mine = within(viewer, Verb.REQUEST_VIEW, "profile__department_id") if viewer else Q()
    others = EnrollmentRequest.objects.select_related("profile", "certificate").filter(mine).exclude(pk=request.pk)
    # Ordered by time, not by key: SQLite would walk the whole primary key to find ten rows of one public key.
    same_key = tuple(others.filter(csr_spki_sha256=request.csr_spki_sha256).order_by("-submitted_at")[:_SHOWN])
    same_name = others.filter(common_name=request.common_name).order_by("-id")[:_SHOWN] if request.common_name else ()
    certificates = Certificate.objects.filter(kind="ordered").exclude(order_id=request.pk).order_by("-prepared_at")
    of_key = certificates.filter(spki_sha256=request.csr_spki_sha256)[:_SHOWN]
    seen = set(
        EnrollmentRequest.objects.filter(mine, pk__in=[found.order_id for found in of_key]).values_list("pk", flat=True)
    )
    return Review(
        sha256=review_digest(request),
        would_issue=_would_issue(request, spec, csr, checked),
        findings=tuple(request.findings),
        requested_extensions=tuple(extension.name for extension in csr.requested_extensions),
        dropped=tuple(checked.dropped),
        fingerprints=replace(fingerprints_of(request), csr="") if csr.challenge_at else fingerprints_of(request),
        same_key_requests=same_key,
        same_name_requests=tuple(same_name),
        same_key_certificates=tuple(found for found in of_key if viewer is None or found.order_id in seen),
        same_name_certificates=tuple(
            certificates.filter(order_id__in=[other.pk for other in same_name if other.state == State.ISSUED])
        ),
    )


def fingerprints_of(request: EnrollmentRequest) -> Fingerprints:
    """Return the digests that the requester can read out too."""
    return Fingerprints(
        public_key=request.csr_spki_sha256,
        signer_certificate=sha256(bytes(request.signer_certificate)).hexdigest(),
        csr=request.csr_sha256,
    )


def review_digest(request: EnrollmentRequest) -> str:
    """Return the digest of what an officer is shown; it changes when anything of it does.

    Needs `profile`, `ca`, `profile_version` and `validation` of the request loaded; costs no query then.
    """
    shown = canonical_json(
        {
            "v": 1,
            "request": str(request.pk),
            "state": request.state,
            "round": request.round,
            "csr_sha256": request.csr_sha256,
            "signer_certificate_sha256": fingerprints_of(request).signer_certificate,
            "subject": request.subject,
            "names": list(request.names),
            "key": request.key_description,
            "findings": [dict(finding) for finding in request.findings],
            "ca": request.ca.name,
            "profile": request.profile.slug,
            "profile_sha256": request.profile_version.spec_sha256,
            "address": request.address,
            "challenge": request.challenge,
            **({"validation": word} if (word := state_of(request)) else {}),
            **({"renews": str(request.renews_id)} if request.renews_id else {}),
        }
    )
    return sha256(shown).hexdigest()


def _would_issue(
    request: EnrollmentRequest, spec: ProfileSpec, csr: CertificationRequest, checked: CsrReview
) -> WouldIssue:
    addressed = spec.for_authority(request.ca.name)
    return WouldIssue(
        subject=str(checked.subject),
        names=tuple(f"{name.kind}:{name.value}" for name in checked.sans),
        key=str(csr.key),
        validity_days=spec.validity_days,
        validity_minutes=spec.validity_minutes,
        not_after_at_most=request.ca.not_after,
        key_usages=key_usages_for(spec.key_usages, csr.key.algorithm),
        extended_key_usages=tuple(spec.extended_key_usages),
        addresses=tuple(filter(None, (addressed.crl_url, addressed.ca_issuers_url, addressed.ocsp_url))),
        ca=request.ca.name,
        profile=request.profile_version.profile.name,
        profile_version=request.profile_version.number,
    )
