"""Cisco IOS, IOS-XE and ASA.

Their enrollment commands are older than this portal; they were not tested on a device.
"""

from approvals.device_setup.configurations.facts import Action, Configuration, ConfigurationFacts
from approvals.device_setup.configurations.writing import (
    cannot_ask,
    console_name,
    fingerprints,
    word,
)

_HOUR = 3600


def ios(facts: ConfigurationFacts) -> Configuration:
    """A trustpoint of IOS or IOS-XE. Polls every 1 to 60 minutes, at most 100 times."""
    label = facts.label
    steps = (
        Action(
            "Set the clock, then paste.",
            _ios_trustpoint(facts),
        ),
        Action(
            "Fetch the CA certificate; IOS compares it with the fingerprint above.",
            f"crypto pki authenticate {label}",
        ),
        Action(
            "Ask for the certificate. It polls until an officer has decided.",
            f"crypto pki enroll {label}\nend",
        ),
        Action(
            "Look how it goes.",
            f"show crypto pki certificates {label}\ndebug crypto pki transactions",
        ),
    )
    return Configuration(
        steps,
        fingerprints(facts, [("issuing CA", "SHA-1", "WORDS"), ("issuing CA", "MD5", "WORDS")]),
        (*_only_one(facts), *cannot_ask(facts, "Cisco IOS", "dns", "ip"), *_old_images(facts)),
    )


def asa(facts: ConfigurationFacts) -> Configuration:
    """A trustpoint of the ASA. Polls every 1 to 60 minutes, at most 100 times."""
    label = facts.label
    steps = (
        Action("Paste.", _asa_trustpoint(facts)),
        Action(
            "Fetch the CA certificate; the ASA refuses another than the one of this fingerprint.",
            f"crypto ca authenticate {label} fingerprint {facts.issuing.digests['SHA-1']} "
            "nointeractive",
        ),
        Action(
            "Ask for the certificate. It polls until an officer has decided.",
            f"crypto ca enroll {label} noconfirm",
        ),
        Action("Look how it goes.", f"show crypto ca certificates {label}\ndebug crypto ca 255"),
    )
    return Configuration(
        steps,
        fingerprints(facts, [("issuing CA", "SHA-1", "words"), ("issuing CA", "MD5", "words")]),
        (
            *_only_one(facts),
            *cannot_ask(facts, "The ASA", "dns", "ip", "email"),
            *_old_images(facts),
            "In Firewall Management Center enter the address with its port, as above.",
        ),
    )


def _ios_trustpoint(facts: ConfigurationFacts) -> str:
    names, label = facts.names, facts.label
    polling = facts.polling.within(least=60, most=_HOUR, times=100)
    lines = [
        "configure terminal",
        f"crypto pki trustpoint {label}",
        f" enrollment url {word(facts.url_with_port, 'address')}",
        f" enrollment retry period {polling.interval // 60}",
        f" enrollment retry count {polling.count}",
        " serial-number none",
        f" fqdn {word(next(iter(names.values('dns')), 'none'), 'dns name')}",
        f" ip-address {word(next(iter(names.values('ip')), 'none'), 'ip address')}",
        f" subject-name {console_name(names)}",
        *(
            [f" password 0 {word(facts.challenge, 'challenge')}"]
            if facts.challenge is not None
            else []
        ),
        f" fingerprint {facts.issuing.digests['SHA-1'].upper()}",
        " revocation-check crl",
        f" rsakeypair {label} {facts.key_bits}",
        " hash sha256",
        *([" auto-enroll 80 regenerate"] if facts.renews else []),
        "exit",
    ]
    return "\n".join(lines)


def _asa_trustpoint(facts: ConfigurationFacts) -> str:
    names, label = facts.names, facts.label
    polling = facts.polling.within(least=60, most=_HOUR, times=100)
    lines = [
        "configure terminal",
        f"crypto key generate rsa label {label} modulus {facts.key_bits} noconfirm",
        f"crypto ca trustpoint {label}",
        f" enrollment url {word(facts.url_with_port, 'address')}",
        f" enrollment retry period {polling.interval // 60}",
        f" enrollment retry count {polling.count}",
        f" keypair {label}",
        f" fqdn {word(next(iter(names.values('dns')), 'none'), 'dns name')}",
        *(f" ip-address {word(value, 'ip address')}" for value in names.values("ip")[:1]),
        *(f" email {word(value, 'e-mail address')}" for value in names.values("email")[:1]),
        f" subject-name {console_name(names)}",
        *(
            [f" password {word(facts.challenge, 'challenge')}"]
            if facts.challenge is not None
            else []
        ),
        " exit",
    ]
    return "\n".join(lines)


def _only_one(facts: ConfigurationFacts) -> tuple[str, ...]:
    unused = [name for kind in ("dns", "ip") for name in facts.names.values(kind)[1:]]
    return (
        (f"One name of a kind goes into the request; left out: {', '.join(unused)}.",)
        if unused
        else ()
    )


def _old_images(facts: ConfigurationFacts) -> tuple[str, ...]:
    if facts.takes_legacy:
        return ()
    return (
        (
            "Old images know only MD5, SHA-1, DES and 3DES. This profile refuses those (badAlg): "
            "take "
            "a newer image."
        ),
    )
