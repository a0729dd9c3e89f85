"""The facts for judging a request, and their digest, which goes into the decision."""

from dataclasses import dataclass, replace
from datetime import datetime
from hashlib import sha256

from django.db.models import Q

from accounts.models.people import User
from accounts.permissions import within
from accounts.roles import Verb
from approvals.models.requests import EnrollmentRequest
from approvals.records.validation_gate import state_of
from approvals.rules.states import State
from audit.canonical import canonical_json
from ca.certificates.admission import review_csr
from ca.certificates.profile_versions import resolve_version
from ca.content.csr_review import CsrReview, ProfileSpec
from ca.models.certificates import Certificate, CertificateKind
from ca.x509.csr import CertificationRequest, read_stored_csr
from ca.x509.extensions import key_usages_for

_SHOWN = 10


@dataclass(frozen=True, slots=True)
class Fingerprints:
    """SHA-256 digests to compare out of band (RFC 8894 §2.4), hex."""

    public_key: str
    signer_certificate: str
    #: Empty if a challenge was overwritten in the stored CSR: the device's CSR differs then.
    csr: str


@dataclass(frozen=True, slots=True)
class WouldIssue:
    """The exact content of the future certificate."""

    subject: str
    names: tuple[str, ...]
    key: str
    validity_days: int
    validity_minutes: int  # replaces the days where it is not 0
    not_after_at_most: datetime  # the CA's own end
    key_usages: tuple[str, ...]
    extended_key_usages: tuple[str, ...]
    addresses: tuple[str, ...]  # of the CRL, the CA's certificate and OCSP
    ca: str
    profile: str
    profile_version: int


@dataclass(frozen=True, slots=True)
class Past:
    """Earlier requests and certificates of the same key and the same name, the newest first."""

    same_key_requests: tuple[EnrollmentRequest, ...]
    same_name_requests: tuple[EnrollmentRequest, ...]
    same_key_certificates: tuple[Certificate, ...]
    same_name_certificates: tuple[Certificate, ...]


@dataclass(frozen=True, slots=True)
class Review:
    """The facts shown with a request."""

    sha256: str
    would_issue: WouldIssue
    findings: tuple[dict[str, str], ...]
    requested_extensions: tuple[str, ...]
    dropped: tuple[str, ...]
    fingerprints: Fingerprints
    past: Past


def review_of(request: EnrollmentRequest, viewer: User | None = None) -> Review:
    """Gather what is shown next to a request; reads only.

    A viewer sees those earlier requests and certificates that they may see elsewhere.
    """
    spec = resolve_version(request.profile_version_id)
    csr = read_stored_csr(request.csr_der)
    checked = review_csr(csr, spec)
    fingerprints = fingerprints_of(request)
    return Review(
        sha256=review_digest(request),
        would_issue=_would_issue(request, spec, csr, checked),
        findings=tuple(request.findings),
        requested_extensions=tuple(extension.name for extension in csr.requested_extensions),
        dropped=tuple(checked.dropped),
        fingerprints=replace(fingerprints, csr="") if csr.challenge_at else fingerprints,
        past=_past_of(request, viewer),
    )


def _past_of(request: EnrollmentRequest, viewer: User | None) -> Past:
    """Return the newest requests and certificates of the same key and of the same name."""
    permitted = within(viewer, Verb.REQUEST_VIEW, "profile__department_id") if viewer else Q()
    requests = EnrollmentRequest.objects.filter(permitted)
    others = requests.select_related("profile", "certificate").exclude(pk=request.pk)
    # Ordered by time: by key, SQLite would walk the whole primary key to find ten rows.
    of_key = others.filter(csr_spki_sha256=request.csr_spki_sha256).order_by("-submitted_at")
    of_name = others.filter(common_name=request.common_name).order_by("-id")
    same_name = tuple(of_name[:_SHOWN]) if request.common_name else ()
    certificates = (
        Certificate.objects.filter(kind=CertificateKind.ORDERED)
        .exclude(order_id=request.pk)
        .order_by("-prepared_at")
    )
    candidates = certificates.filter(spki_sha256=request.csr_spki_sha256)[:_SHOWN]
    orders = [certificate.order_id for certificate in candidates]
    visible = set(requests.filter(pk__in=orders).values_list("pk", flat=True))
    issued = [other.pk for other in same_name if other.state == State.ISSUED]
    return Past(
        same_key_requests=tuple(of_key[:_SHOWN]),
        same_name_requests=same_name,
        same_key_certificates=tuple(
            certificate
            for certificate in candidates
            if viewer is None or certificate.order_id in visible
        ),
        same_name_certificates=tuple(certificates.filter(order_id__in=issued)),
    )


def fingerprints_of(request: EnrollmentRequest) -> Fingerprints:
    """Return the digests that the requester can read out too."""
    return Fingerprints(
        public_key=request.csr_spki_sha256,
        signer_certificate=sha256(bytes(request.signer_certificate)).hexdigest(),
        csr=request.csr_sha256,
    )


def review_digest(request: EnrollmentRequest) -> str:
    """Return the digest of the facts shown to an officer; any change of them changes it.

    Needs `profile`, `ca`, `profile_version` and `validation` of the request loaded; costs no query
    then.
    """
    facts = canonical_json(
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
    return sha256(facts).hexdigest()


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
        addresses=tuple(
            filter(None, (addressed.crl_url, addressed.ca_issuers_url, addressed.ocsp_url))
        ),
        ca=request.ca.name,
        profile=request.profile_version.profile.name,
        profile_version=request.profile_version.number,
    )
