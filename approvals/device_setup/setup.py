"""Configurations for the devices of a profile: names, challenge, signature."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Final

from django.conf import settings
from django.db import transaction

from accounts.principals import Principal
from approvals.challenges.onetime import ChallengeOrder, create_challenges
from approvals.device_setup.configuration_keys import sign_configuration
from approvals.device_setup.configurations.addresses import names_this_machine
from approvals.device_setup.configurations.apple import mobileconfig
from approvals.device_setup.configurations.clients import OWN_CLIENT, Client
from approvals.device_setup.configurations.facts import (
    PLACEHOLDER,
    AuthorityFacts,
    ConfigurationFacts,
    Names,
    NotExpressible,
    key_sizes,
)
from approvals.device_setup.configurations.names import read_alternative_name
from approvals.models.challenges import ChallengeOrigin
from approvals.models.profiles import ApprovalMode, ChallengePolicy, EnrollmentProfile, RenewalMode
from approvals.records.transitions import department_of
from approvals.rules.bindings import written_subject
from approvals.rules.errors import ProfileInvalid
from audit.events import Event, Personal, Subject
from audit.log import record
from ca.certificates.profile_versions import resolve_version
from ca.content.csr_review import ProfileSpec, check_names
from ca.models.authorities import CertificatesShape
from ca.x509.names import build_name
from database.encryption import Secret

PLACEHOLDER_NAME: Final = "device.example"
#: The profile that `./portal up` creates in an empty portal, to try on the same machine.
DEMO_PROFILE: Final = "demo"
LIFETIMES: Final = {"1h": timedelta(hours=1), "1d": timedelta(days=1), "7d": timedelta(days=7)}


class NamesRefused(ProfileInvalid):
    """The profile would refuse these names."""


class AddressRefused(ProfileInvalid):
    """The portal's address means another machine on each device."""


@dataclass(frozen=True, slots=True)
class WantedNames:
    """The typed names: common name, organization, alternative names; all may be empty."""

    common_name: str = ""
    organization: str = ""
    alternative_names: Sequence[str] = ()

    @property
    def is_empty(self) -> bool:
        """Whether no name was typed, so that placeholders are used."""
        return not (self.common_name or self.organization or self.alternative_names)


@dataclass(frozen=True, slots=True)
class ConfigurationTarget:
    """The device whose configuration gets a challenge."""

    profile: EnrollmentProfile
    client: Client
    names: Names
    lifetime: timedelta = field(default=LIFETIMES["1h"])


def check_wanted(profile: EnrollmentProfile, typed: WantedNames) -> Names:
    """Return the names for the device; placeholders if none was typed.

    Raises NamesRefused with every fault that the profile would find.
    """
    spec = _spec(profile)
    if typed.is_empty:
        return _placeholders(spec)
    pairs = [("O", typed.organization), ("CN", typed.common_name)]
    subject = tuple((name, value) for name, value in pairs if value)
    try:
        sans = tuple(read_alternative_name(text) for text in typed.alternative_names)
    except ValueError as error:
        raise NamesRefused(str(error)) from error
    faults = [
        item.text
        for item in check_names(build_name(subject), sans, spec)
        if item.severity == "refuse"
    ]
    if faults:
        raise NamesRefused("; ".join(faults))
    return Names(subject, tuple((name.kind, name.value) for name in sans))


def address_fault(profile: EnrollmentProfile, client: Client | None = None) -> str:
    """Return why a device cannot use this portal's address, or "".

    The test client and the demo profile are for this machine, where localhost is right.
    """
    is_demo = profile.is_test and profile.slug == DEMO_PROFILE
    if is_demo or (client is not None and client.slug == OWN_CLIENT):
        return ""
    address = settings.PORTAL_PUBLIC_URL
    if not names_this_machine(address):
        return ""
    return (
        f"address {address}: on a device it means the device itself. Start the portal with "
        "PORTAL_PUBLIC_URL=http://NAME:PORT, the name by which devices reach it, and with --bind "
        "0.0.0.0:PORT"
    )


def check_address(profile: EnrollmentProfile, client: Client) -> None:
    """Raise AddressRefused if a configuration would send devices to themselves."""
    fault = address_fault(profile, client)
    if fault:
        raise AddressRefused(fault)


def configuration_facts(
    profile: EnrollmentProfile, names: Names, secret: Secret | None = None
) -> ConfigurationFacts:
    """Return the facts for the configurations of a profile.

    Without `secret` a placeholder replaces the challenge. A static challenge is never written: this
    page is not the place to reveal it.
    """
    spec = _spec(profile)
    wants_none = profile.challenge == ChallengePolicy.NONE
    text = secret.reveal() if secret is not None else PLACEHOLDER
    shape, chain = CertificatesShape(profile.ca_certificates), profile.ca.chain()
    return ConfigurationFacts(
        url=f"{settings.PORTAL_PUBLIC_URL}/scep/{profile.slug}/",
        profile=profile.slug,
        authorities=tuple(
            AuthorityFacts(
                name=authority.name, subject=authority.subject, der=authority.certificate_der
            )
            for authority in chain
        ),
        names=names,
        key_sizes=key_sizes(spec.rsa_min_bits, spec.rsa_max_bits),
        challenge=None if wants_none else text,
        is_manual=profile.approval == ApprovalMode.MANUAL,
        is_one_time=profile.challenge == ChallengePolicy.ONE_TIME,
        renews=profile.renewal_mode != RenewalMode.OFF,
        takes_legacy=profile.legacy_algorithms,
        is_split=shape.is_split,
        gives_root=shape is not CertificatesShape.RA_ISSUING or len(chain) == 1,
    )


def create_configuration_challenge(
    recipient: ConfigurationTarget, *, principal: Principal, now: datetime
) -> Secret:
    """Create a one-time challenge for one configuration, bound to its names.

    Records the delivery of a configuration with a challenge, in addition to the challenge itself.
    Raises NotPermitted for a principal who may not create challenges here, ChallengeInvalid for a
    profile without one-time challenges, NamesRefused for names that the client cannot get,
    ProfileInvalid for a client with its own challenge.
    """
    profile = recipient.profile
    _check_expressible(recipient)
    with transaction.atomic():
        ((challenge, secret),) = create_challenges(_order(recipient), principal=principal, now=now)
        record(
            Event.CONFIGURATION_EXPORT,
            actor=principal.actor,
            now=now,
            subject=Subject.of("challenge", challenge.pk),
            data={
                "profile": profile.slug,
                "client": recipient.client.slug,
                "names": Personal(
                    ", ".join(f"{name}={value}" for name, value in recipient.names.subject)
                ),
            },
            department=department_of(profile),
        )
    return secret


def signed_mobileconfig(
    profile: EnrollmentProfile, facts: ConfigurationFacts, *, now: datetime
) -> tuple[bytes, bool]:
    """Return Apple's configuration profile, and whether it is signed.

    It is unsigned until the worker has certified the key.
    """
    content = mobileconfig(facts)
    signed = sign_configuration(profile.ca, content, now=now)
    return (content, False) if signed is None else (signed, True)


def _check_expressible(recipient: ConfigurationTarget) -> None:
    """Check before creating a challenge: without a writable configuration it would be lost."""
    if not recipient.client.takes_challenge:
        raise ProfileInvalid(
            f"{recipient.client.name}: brings a challenge of its own, none is made for it"
        )
    check_address(recipient.profile, recipient.client)
    try:
        recipient.client.render(configuration_facts(recipient.profile, recipient.names))
    except NotExpressible as error:
        raise NamesRefused(str(error)) from error


def _order(recipient: ConfigurationTarget) -> ChallengeOrder:
    """Order one challenge, bound to the typed names; unbound for placeholders."""
    names = recipient.names
    order = ChallengeOrder(
        recipient.profile, lifetime=recipient.lifetime, origin=ChallengeOrigin.CONFIGURATION
    )
    if names == _placeholders(_spec(recipient.profile)):
        return order
    if not names.common_name and not names.sans:
        return replace(order, subject_dn=written_subject(names.subject))
    return replace(
        order, subject=names.common_name, sans=[f"{kind}:{value}" for kind, value in names.sans]
    )


def _placeholders(spec: ProfileSpec) -> Names:
    subject = (("CN", PLACEHOLDER_NAME),) if "CN" in spec.subject_attributes else ()
    sans = (
        (("dns", PLACEHOLDER_NAME),)
        if "dns" in spec.san_kinds and (spec.san_required or not subject)
        else ()
    )
    return Names(subject, sans)


def _spec(profile: EnrollmentProfile) -> ProfileSpec:
    version_id = profile.certificate_profile.current_id
    if version_id is None:
        raise ProfileInvalid(
            f"certificate profile {profile.certificate_profile}: it has no version yet, save it "
            "once"
        )
    return resolve_version(version_id)
