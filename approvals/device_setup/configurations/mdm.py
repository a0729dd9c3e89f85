"""Step by step: Microsoft Intune and Jamf Pro."""

from typing import Final

from approvals.device_setup.configurations.facts import Action, Configuration, ConfigurationFacts
from approvals.device_setup.configurations.writing import fingerprints, printable

#: The form of the names below: Intune writes the security identifier of a device or person as a tag
#: (RFC 4151).
INTUNE_PATTERNS: Final = (
    "IntuneDeviceId://[0-9A-Fa-f-]{36}",
    "tag:microsoft[.]com,2022-09-14:sid:S-1-[0-9-]+",
)
_INTUNE_WARNINGS: Final = (
    (
        "Intune puts a signed text of its own into the challenge: a profile with another kind "
        "of "
        "challenge refuses it."
    ),
    (
        "Intune never renews: shortly before the end each device enrolls again, with a new "
        "challenge, and waits again."
    ),
    (
        "The certificate profile here has to admit these names: uri patterns "
        f"{' and '.join(INTUNE_PATTERNS)}."
    ),
    "Written from Microsoft's documentation; not tried here.",
)


def intune(facts: ConfigurationFacts) -> Configuration:
    """Two profiles in Intune: the trusted certificates first, then SCEP."""
    steps = (
        Action(
            f"Download the CA certificates of this portal: /ca/{facts.issuing.name}.pem and the "
            "root's."
        ),
        Action(
            "Devices > Configuration > Create > Templates > Trusted certificate: one profile for "
            "the root, one for the "
            "issuing CA. Assign both to the group."
        ),
        Action(
            "Devices > Configuration > Create > Templates > SCEP certificate, the same group:",
            fields=_intune_fields(facts),
        ),
        Action("Watch the queue here, and in Intune the profile's device status."),
    )
    return Configuration(
        steps, fingerprints(facts, [("issuing CA", "SHA-1", "plain")]), _INTUNE_WARNINGS
    )


def _intune_fields(facts: ConfigurationFacts) -> tuple[tuple[str, str], ...]:
    return (
        ("Certificate type", "Device"),
        ("Subject name format", "CN={{DeviceId}}"),
        ("Subject alternative name", "URI: IntuneDeviceId://{{DeviceId}}"),
        (
            "Subject alternative name, for signing in to Active Directory (KB5014754)",
            "URI: {{OnPremisesSecurityIdentifier}}",
        ),
        ("Certificate validity period", "what the profile here says counts"),
        ("Key storage provider", "Enroll to TPM KSP if present, otherwise Software KSP"),
        ("Key usage", "Digital signature, Key encipherment"),
        ("Key size (bits)", str(facts.key_bits)),
        ("Hash algorithm", "SHA-2"),
        (
            "Root certificate",
            "the trusted certificate profile made before: issuing CA on Windows, root on Android",
        ),
        ("Extended key usage", "Client Authentication"),
        ("Renewal threshold (%)", "20"),
        ("SCEP Server URLs", facts.url),
    )


def jamf(facts: ConfigurationFacts) -> Configuration:
    """Jamf Pro's SCEP payload, or Jamf as a proxy in front of this portal."""
    steps = (
        Action(
            f"Download the CA certificates of this portal: /ca/{facts.issuing.name}.pem and the "
            "root's."
        ),
        Action(
            "Computers (or Devices) > Configuration Profiles > New > Certificate: upload root and "
            "issuing CA."
        ),
        Action("In the same profile, SCEP > Configure:", fields=_jamf_fields(facts)),
        Action(
            "Or let Jamf ask for the devices: Settings > Global > PKI certificates > Management "
            "certificate template > "
            "External CA, with the same values and Enable Jamf Pro as SCEP proxy for configuration "
            "profiles."
        ),
    )
    return Configuration(
        steps,
        fingerprints(facts, [("root CA", "SHA-1", "PLAIN")], root=True),
        _jamf_warnings(facts),
    )


def _jamf_fields(facts: ConfigurationFacts) -> tuple[tuple[str, str], ...]:
    waits = facts.polling.within(most=600, times=1440)
    kind = "Static" if facts.challenge is not None else "None"
    return (
        ("URL", facts.url),
        ("Name", facts.profile),
        ("Redistribute profile", "30 days before the certificate expires"),
        ("Subject", "CN=$COMPUTERNAME"),
        ("Subject Alternative Name", "DNS Name: $UDID"),
        ("Challenge Type", kind),
        *(
            [("Challenge", printable(facts.challenge, "challenge"))]
            if facts.challenge is not None
            else []
        ),
        ("Retries", str(waits.count)),
        ("Retry Delay", str(waits.interval)),
        ("Key Size", str(facts.key_bits)),
        ("Use as digital signature", "yes"),
        ("Use for key encipherment", "yes"),
        ("Allow export from keychain", "no"),
        ("Fingerprint", facts.root.digests["SHA-1"].upper()),
    )


def _jamf_warnings(facts: ConfigurationFacts) -> tuple[str, ...]:
    one_time = (
        (
            "Jamf gives one challenge to all devices; a one-time challenge serves one: use a "
            "profile "
            "with another kind."
        ),
    )
    return (
        *(one_time if facts.is_one_time else ()),
        (
            "$COMPUTERNAME has blanks and apostrophes on many a Mac: good in a subject, refused as "
            "a "
            "DNS name."
        ),
        (
            "Jamf takes challenges of at most 32 characters. As a proxy it asks from one address "
            "for "
            "all devices."
        ),
        "Written from Jamf's documentation; not tried here.",
    )
