"""Junos, PAN-OS, FortiOS and RouterOS.

Written from the vendors' manuals; not tested on a device.
"""

from approvals.device_setup.configurations.facts import Action, Configuration, ConfigurationFacts
from approvals.device_setup.configurations.writing import (
    cannot_ask,
    console_name,
    fingerprints,
    listed,
    quoted,
    word,
)

_OLD = (
    "{client} signs with SHA-1 and encrypts with 3DES{unless}, and this profile refuses both "
    "(badAlg). "
    "Old algorithms have to be allowed for the profile, or the certificate is requested with "
    "another client."
)


def junos(facts: ConfigurationFacts) -> Configuration:
    """A ca-profile of Junos. Polls every 0 to 3600 seconds, at most 1080 times."""
    label = facts.label
    steps = (
        Action("Paste in configuration mode, then commit.", _junos_profile(facts)),
        Action(
            "In operational mode: fetch the CA certificate, and say yes only if the fingerprint is "
            "one of those below.",
            f"request security pki ca-certificate enroll ca-profile {label}",
        ),
        Action(
            "Make a key and ask for the certificate.",
            f"request security pki generate-key-pair certificate-id {label} size {facts.key_bits} "
            "type rsa\n" + _junos_request(facts),
        ),
        Action(
            "Look how it goes.",
            f"show security pki local-certificate certificate-id {label} detail",
        ),
    )
    old = (
        ()
        if facts.takes_legacy
        else (_OLD.format(client="Junos", unless=" at most, says its manual"),)
    )
    return Configuration(
        steps,
        fingerprints(facts, [("issuing CA", "SHA-1", "colons"), ("issuing CA", "MD5", "colons")]),
        (*old, *cannot_ask(facts, "Junos", "dns", "ip", "email")),
    )


def _junos_profile(facts: ConfigurationFacts) -> str:
    polling = facts.polling.within(least=60, most=3600, times=1000)
    base = f"set security pki ca-profile {facts.label}"
    commands = [
        f"{base} ca-identity {facts.profile}",
        f"{base} enrollment url {word(facts.url, 'address')}",
        f"{base} enrollment retry {polling.count}",
        f"{base} enrollment retry-interval {polling.interval}",
        f"{base} revocation-check crl",
        "commit",
    ]
    return "\n".join(commands)


def _junos_request(facts: ConfigurationFacts) -> str:
    names, label = facts.names, facts.label
    enroll = [
        (
            f"request security pki local-certificate enroll scep ca-profile {label} certificate-id "
            f"{label}"
        ),
        *(f"domain-name {word(value, 'dns name')}" for value in names.values("dns")[:1]),
        *(f"ip-address {word(value, 'ip address')}" for value in names.values("ip")[:1]),
        *(f"email {word(value, 'e-mail address')}" for value in names.values("email")[:1]),
        f'subject "{console_name(names)}"',
        *(
            [f"challenge-password {word(facts.challenge, 'challenge')}"]
            if facts.challenge is not None
            else []
        ),
    ]
    return " ".join(enroll)


def panos(facts: ConfigurationFacts) -> Configuration:
    """The form of PAN-OS: Device, Certificate Management, SCEP."""
    steps = (
        Action("Device > Certificate Management > SCEP > Add.", fields=_panos_fields(facts)),
        Action(
            "Commit. Then Device > Certificate Management > Certificates > Generate, type SCEP, "
            "with this profile."
        ),
        Action(
            "Look how it goes: Monitor > Logs > System, or on the command line.",
            "show log system direction equal backward",
        ),
    )
    warnings = (
        (
            "PAN-OS expects its answer at once and may report an error while the request waits: "
            "approve, generate again."
        ),
        "With GlobalProtect each user is one request: one challenge does not serve them all.",
    )
    return Configuration(
        steps,
        fingerprints(facts, [("issuing CA", "SHA-1", "PLAIN"), ("issuing CA", "SHA-256", "PLAIN")]),
        (
            *(warnings[:1] if facts.is_manual else ()),
            *(warnings[1:] if facts.is_one_time else ()),
            *cannot_ask(facts, "PAN-OS", "email", "dns", "uri"),
        ),
    )


def _panos_fields(facts: ConfigurationFacts) -> tuple[tuple[str, str], ...]:
    names = facts.names
    challenge = ("Fixed", facts.challenge) if facts.challenge is not None else ("None", "")
    sans = [
        (field, value)
        for kind, field in (
            ("email", "RFC 822 Name"),
            ("dns", "DNS Name"),
            ("uri", "Uniform Resource Identifier"),
        )
        for value in names.values(kind)
    ]
    return (
        ("Name", facts.label),
        ("SCEP Challenge", challenge[0]),
        *([("Password", challenge[1])] if challenge[1] else []),
        ("Server URL", facts.url),
        ("CA-IDENT Name", facts.profile),
        ("Subject", console_name(names)),
        *(("Subject Alternative Name Type", f"{field}: {value}") for field, value in sans[:1]),
        ("Number of Bits", str(facts.key_bits)),
        ("Digest for CSR", "sha256"),
        ("Use as digital signature", "yes"),
        ("Use for key encipherment", "yes"),
        ("CA Certificate Fingerprint", facts.issuing.digests["SHA-1"].upper()),
    )


def fortigate(facts: ConfigurationFacts) -> Configuration:
    """Commands of FortiOS; empty arguments are country, state, city, units and e-mail."""
    url = word(facts.url, "address")
    renewal = (
        [Action("Let it renew two weeks before the end.", _fortigate_renewal(facts))]
        if facts.renews
        else []
    )
    steps = (
        Action(
            "Fetch the CA certificates, and compare what arrives under System > Certificates with "
            "the fingerprints.",
            f'execute vpn certificate ca import auto "{url}" {facts.profile}',
        ),
        Action("Make a key and ask for the certificate.", _fortigate_request(facts)),
        *renewal,
        Action("Look how it goes.", "diagnose debug application scep -1\ndiagnose debug enable"),
    )
    return Configuration(
        steps,
        fingerprints(facts, [("issuing CA", "SHA-256", "COLONS"), ("issuing CA", "MD5", "COLONS")]),
        (*_fortigate_warnings(facts), *cannot_ask(facts, "FortiOS", "dns", "ip", "email")),
    )


def _fortigate_request(facts: ConfigurationFacts) -> str:
    names = facts.names
    email = next(iter(names.values("email")), "")
    sans = listed(
        ((f"{kind.upper()}:", value) for kind in ("dns", "ip") for value in names.values(kind)), ","
    )
    generate = [
        f"execute vpn certificate local generate rsa {facts.label} {facts.key_bits}",
        quoted(names.common_name, "CN"),
        quoted(names.attribute("C"), "C"),
        '""',
        '""',
        quoted(names.attribute("O"), "O"),
        '""',
        quoted(email, "e-mail address"),
        quoted(sans, "alternative names"),
        quoted(facts.url, "address"),
        _fortigate_challenge(facts),
    ]
    return " ".join(generate)


def _fortigate_renewal(facts: ConfigurationFacts) -> str:
    password = (
        [f"set scep-password {_fortigate_challenge(facts)}"] if facts.challenge is not None else []
    )
    renewal = [
        "config vpn certificate local",
        f"edit {facts.label}",
        f"set scep-url {quoted(facts.url, 'address')}",
        "set enroll-protocol scep",
        "set auto-regenerate-days 14",
        "set auto-regenerate-days-warning 21",
        *password,
        "next",
        "end",
    ]
    return "\n".join(renewal)


def _fortigate_challenge(facts: ConfigurationFacts) -> str:
    return '""' if facts.challenge is None else word(facts.challenge, "challenge")


def _fortigate_warnings(facts: ConfigurationFacts) -> tuple[str, ...]:
    renewal = (
        "FortiOS sends its scep-password with every renewal. A one-time challenge is used up by "
        "then: the portal "
        "passes over it where the message is signed with the old certificate; where it is not, "
        "make a new one."
    )
    return (renewal,) if facts.is_one_time and facts.renews else ()


def routeros(facts: ConfigurationFacts) -> Configuration:
    """Commands of RouterOS; it polls until it gets an answer."""
    names, label = facts.names, facts.label
    kinds = {"dns": "DNS", "ip": "IP", "email": "email"}
    sans = listed(((f"{kinds[kind]}:", value) for kind, value in names.sans if kind in kinds), ",")
    parts = {
        "common-name": names.common_name,
        "organization": names.attribute("O"),
        "country": names.attribute("C"),
    }
    template = [
        f"/certificate add name={label}-template",
        *(f"{key}={quoted(value, key)}" for key, value in parts.items() if value),
        *([f"subject-alt-name={quoted(sans, 'alternative names')}"] if sans else []),
        f"key-size={facts.key_bits} key-usage=digital-signature,key-encipherment,tls-client",
    ]
    request = [
        f"/certificate add-scep template={label}-template name={label} ca-identity={facts.profile}",
        f"scep-url={quoted(facts.url, 'address')}",
        *(
            [f"challenge-password={quoted(facts.challenge, 'challenge')}"]
            if facts.challenge is not None
            else []
        ),
    ]
    steps = (
        Action(
            "Make the template and ask for the certificate.",
            "\n".join([" ".join(template), " ".join(request)]),
        ),
        Action("Look how it goes, and compare the CA's fingerprint.", "/certificate print detail"),
    )
    old = (
        ()
        if facts.takes_legacy
        else (_OLD.format(client="RouterOS", unless=" in releases up to 6 at least"),)
    )
    return Configuration(
        steps,
        fingerprints(facts, [("issuing CA", "SHA-256", "plain"), ("issuing CA", "SHA-1", "plain")]),
        (*old, *cannot_ask(facts, "RouterOS", *kinds)),
    )
