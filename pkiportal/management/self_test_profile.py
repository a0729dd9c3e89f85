"""The profile and CA of the self-test, made at the first time: marked as tests, apart from every
real CA.
"""

from datetime import datetime
from typing import Final

from accounts.principals import Principal
from approvals.models.profiles import ApprovalMode, ChallengePolicy, EnrollmentProfile
from approvals.profiles.manage import ProfileRequest, create_enrollment_profile
from audit.events import Actor
from ca.authorities.manage import AuthorityRequest, create_authority
from ca.content.profile_spec import ProfileSpec
from ca.models.authorities import CertificateAuthority
from ca.signing.crl import issue_crl
from ca.signing.service_keys import certify_service_keys
from scep.ra.keys import ensure_ra_key
from selftest.errors import SelfTestRefused

NAME: Final = "selftest"
#: Minutes that a certificate lives, five of them before it is made: for the certificate of a run
#: that was cut off.
LIFE: Final = 20
_NAMES: Final = r"selftest-[0-9a-f]{8}\.invalid"


def ensure_self_test_profile(*, principal: Principal, now: datetime) -> EnrollmentProfile:
    """Return the profile; make what is missing of CA, RA key and profile.

    Needs the rights of the user who signs.

    Raises SelfTestRefused where the name is taken by something real, and what making a CA raises.
    """
    related = ("ca__parent", "department", "certificate_profile")
    found = EnrollmentProfile.objects.select_related(*related).filter(slug=NAME).first()
    if found is not None:
        if not found.for_self_test:
            raise SelfTestRefused(
                f"profile {NAME!r}: it is there, but not for self-tests; they need that name"
            )
        return found
    wanted = ProfileRequest(
        slug=NAME,
        ca=_authority(actor=principal.actor, now=now),
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
    profile = create_enrollment_profile(wanted, principal=principal, now=now)
    return EnrollmentProfile.objects.select_related(*related).get(pk=profile.pk)


def _authority(*, actor: Actor, now: datetime) -> CertificateAuthority:
    found = CertificateAuthority.objects.filter(name=NAME).first()
    if found is not None and not found.is_test:
        raise SelfTestRefused(
            f"CA {NAME!r}: it is there, but not marked as a test; the self-test needs that name"
        )
    if found is None:
        request = AuthorityRequest(
            NAME,
            "CN=Self-test CA (nobody trusts it),O=PKI portal",
            key_type="ec:p256",
            is_test=True,
        )
        found = create_authority(request, actor=actor, now=now)
        issue_crl(found, now=now, actor=actor)
    ensure_ra_key(found, now=now)
    certify_service_keys(now=now)
    return found
