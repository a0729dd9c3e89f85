"""The profile and CA of the self-test, created on first use and marked as tests."""

from datetime import datetime
from typing import Final

from accounts.principals import Principal
from approvals.models.profiles import ApprovalMode, ChallengePolicy, EnrollmentProfile
from approvals.profiles.manage import ProfileRequest, create_enrollment_profile
from ca.content.profile_spec import ProfileSpec
from ca.models.authorities import CertificateAuthority
from ca.signing.authorities import AuthorityRequest, create_authority
from ca.signing.crl import issue_crl
from ca.signing.service_keys import certify_service_keys
from scep.ra.keys import ensure_ra_key
from selftest.errors import SelfTestRefused

NAME: Final = "selftest"
#: Lifetime of certificates in minutes, five of them before issuance; it limits certificates of runs
#: that were cut off.
LIFE: Final = 20
_NAMES: Final = r"selftest-[0-9a-f]{8}\.invalid"


def ensure_self_test_profile(*, principal: Principal, now: datetime) -> EnrollmentProfile:
    """Return the profile; make what is missing of CA, RA key and profile.

    Needs the rights of the signing user. Raises SelfTestRefused if a real profile or CA has the
    name, and the errors of creating a CA.
    """
    related = ("ca__parent", "department", "certificate_profile")
    existing = EnrollmentProfile.objects.select_related(*related).filter(slug=NAME).first()
    if existing is not None:
        if not existing.for_self_test:
            raise SelfTestRefused(
                f"profile {NAME!r}: it is there, but not for self-tests; they need that name"
            )
        return existing
    profile_request = ProfileRequest(
        slug=NAME,
        ca=_authority(principal=principal, now=now),
        spec=ProfileSpec(
            validity_minutes=LIFE,
            backdate_minutes=5,
            subject_attributes=("CN",),
            subject_patterns={"CN": _NAMES},
            san_kinds=("dns",),
            san_patterns={"dns": (_NAMES,)},
        ),
        approval=ApprovalMode.MANUAL,
        challenge=ChallengePolicy.NONE,
        name="Self-test",
        allow_asserted_decisions=True,  # for `./portal selftest --officer`, see ADR 42
        for_self_test=True,
    )
    profile = create_enrollment_profile(profile_request, principal=principal, now=now)
    return EnrollmentProfile.objects.select_related(*related).get(pk=profile.pk)


def _authority(*, principal: Principal, now: datetime) -> CertificateAuthority:
    authority = CertificateAuthority.objects.filter(name=NAME).first()
    if authority is not None and not authority.is_test:
        raise SelfTestRefused(
            f"CA {NAME!r}: it is there, but not marked as a test; the self-test needs that name"
        )
    if authority is None:
        request = AuthorityRequest(
            NAME,
            "CN=Self-test CA (do not trust it),O=PKI portal",
            key_type="ec:p256",
            is_test=True,
        )
        authority = create_authority(request, principal=principal, now=now)
        issue_crl(authority, now=now, principal=principal)
    ensure_ra_key(authority, now=now)
    certify_service_keys(now=now)
    return authority
