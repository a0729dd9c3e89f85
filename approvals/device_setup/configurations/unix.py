"""Command lines: strongSwan's pki, certmonger, sscep, and the portal's own test client."""

from typing import Final

from approvals.device_setup.configurations.facts import (
    Action,
    Comparison,
    Configuration,
    ConfigurationFacts,
)
from approvals.device_setup.configurations.writing import (
    cannot_ask,
    command,
    fingerprints,
    openssl,
    plain_name,
    shell,
)

_NEEDS_ROOT: Final = (
    "strongSwan takes no CA certificates without the root, and this profile gives the issuing CA "
    "alone: "
    "let it give the parents too."
)
#: The kinds of names that a client can ask for, and how it writes them.
_STRONGSWAN_KINDS: Final = {"dns": "", "ip": "", "email": "email:"}
_CERTMONGER_KINDS: Final = {"dns": "-D", "ip": "-A", "email": "-E"}
_OPENSSL_KINDS: Final = {"dns": "DNS", "ip": "IP", "email": "email", "uri": "URI"}


def strongswan(facts: ConfigurationFacts) -> Configuration:
    """`pki --scep` of strongSwan 5.9.8 and newer; files are ca.der, ca-1.der and ra.der.

    They hold root, issuing CA and RA. Of two RA certificates the signing one goes to ra.der, the
    encrypting one to ra-2.der.
    """
    url = shell(facts.url, "address")
    steps = (
        Action(
            "Fetch the CA certificates, and compare the fingerprint of the root that is printed.",
            command(f"pki --scepca --url {url} --caout ca.der --raout ra.der"),
        ),
        Action(
            "Make a key.",
            f"umask 077\npki --gen --type rsa --size {facts.key_bits} --outform pem > device.key",
        ),
        Action(
            "Ask for the certificate. If it is interrupted, the same command goes on.",
            command(*_strongswan_request(facts)),
        ),
    )
    rootless = () if facts.gives_root else (_NEEDS_ROOT,)
    return Configuration(
        steps,
        _root_sha256(facts, "colons"),
        ("RSA keys only.", *rootless, *cannot_ask(facts, "strongSwan", *_STRONGSWAN_KINDS)),
    )


def _strongswan_request(facts: ConfigurationFacts) -> list[str]:
    url, names = shell(facts.url, "address"), facts.names
    authorities = ["ca.der", *(f"ca-{number}.der" for number in range(1, len(facts.authorities)))]
    return [
        f"pki --scep --url {url} --in device.key",
        f"--dn {shell(plain_name(names, ', '), 'subject')}",
        *(
            f"--san {shell(_STRONGSWAN_KINDS[kind] + value, kind)}"
            for kind, value in names.sans
            if kind in _STRONGSWAN_KINDS
        ),
        *(
            [f"--password {shell(facts.challenge, 'challenge')}"]
            if facts.challenge is not None
            else []
        ),
        f"--cacert-enc {'ra-2.der' if facts.is_split else 'ra.der'} --cacert-sig ra.der",
        *(f"--cacert {name}" for name in authorities),
        (
            f"--interval {facts.polling.interval} --maxpolltime "
            f"{facts.polling.interval * facts.polling.count}"
        ),
        "--outform pem > device.crt",
    ]


def certmonger(facts: ConfigurationFacts) -> Configuration:
    """`getcert` of certmonger; it takes RA and CA certificates from GetCACert, to be compared
    once.
    """
    label = facts.label
    steps = (
        Action(
            "Name the authority. Seconds later it shows thumbprints of the root: compare them.",
            f"getcert add-scep-ca -c {label} -u {shell(facts.url, 'address')}\ngetcert list-cas -c "
            f"{label}",
        ),
        Action(
            "Ask for the certificate, in the folder where key and certificate are to be.",
            command(*_certmonger_request(facts)),
        ),
        Action(
            "After the approval: it would ask again only after seven days.",
            f"getcert refresh -i {label}-device",
        ),
        Action("Look how it goes.", f"getcert list -i {label}-device"),
    )
    warnings = (
        ()
        if facts.is_manual
        else ("It keeps its key when it renews: the profile has to allow key reuse.",)
    )
    waits = ("It asks again only after seven days: run the refresh once an officer has decided.",)
    return Configuration(
        steps,
        fingerprints(
            facts, [("root CA", "SHA-1", "WORDS"), ("root CA", "MD5", "WORDS")], root=True
        ),
        (
            *(waits if facts.is_manual else ()),
            *(warnings if facts.renews else ()),
            *cannot_ask(facts, "certmonger", *_CERTMONGER_KINDS),
        ),
    )


def _certmonger_request(facts: ConfigurationFacts) -> list[str]:
    names, label, kinds = facts.names, facts.label, _CERTMONGER_KINDS
    return [
        f"getcert request -c {label} -I {label}-device",
        '-k "$PWD/device.key" -f "$PWD/device.crt"',
        f"-G rsa -g {facts.key_bits}",
        f"-N {shell(plain_name(names), 'subject')}",
        *(f"{kinds[kind]} {shell(value, kind)}" for kind, value in names.sans if kind in kinds),
        *([f"-L {shell(facts.challenge, 'challenge')}"] if facts.challenge is not None else []),
    ]


def sscep(facts: ConfigurationFacts) -> Configuration:
    """`sscep` with a CSR of OpenSSL; GetCACert writes ca.crt-0 (RA), ca.crt-1 (issuing CA) etc.

    `-c` verifies answers, which the RA signs; where another RA certificate encrypts, it comes
    first.
    """
    polling, url = facts.polling, shell(facts.url, "address")
    request = f"openssl req -new -newkey rsa:{facts.key_bits} -nodes -sha256 -config device.cnf"
    steps = (
        Action(
            "Write what to ask for. The file holds the challenge: delete it afterwards.",
            f"umask 077\ncat > device.cnf <<'END'\n{_request_config(facts)}\nEND",
        ),
        Action(
            "Make a key and a certificate request.", f"{request} -keyout device.key -out device.csr"
        ),
        Action(
            "Fetch the certificates, and compare the fingerprints that are printed.",
            f"sscep getca -u {url} -c ca.crt -F sha256 -v",
        ),
        Action(
            "Ask for the certificate. After an interruption add -R: it goes on with the same "
            "request.",
            command(
                f"sscep enroll -u {url} "
                f"{'-c ca.crt-1 -e ca.crt-0' if facts.is_split else '-c ca.crt-0'}",
                "-k device.key -r device.csr -l device.crt",
                f"-E aes128 -S sha256 -t {polling.interval} -T {polling.interval * polling.count} "
                f"-n {polling.count}",
            ),
        ),
    )
    plain = ("sscep speaks plain HTTP only: give it an http:// address of this portal.",)
    return Configuration(
        steps,
        (
            *fingerprints(
                facts, [(f"ca.crt-{2 if facts.is_split else 1}, issuing CA", "SHA-256", "COLONS")]
            ),
            *(_root_sha256(facts, "COLONS") if facts.gives_root else ()),
        ),
        (
            *(plain if facts.url.startswith("https:") else ()),
            *cannot_ask(facts, "sscep", *_OPENSSL_KINDS),
        ),
    )


def _request_config(facts: ConfigurationFacts) -> str:
    names = facts.names
    sans = [(_OPENSSL_KINDS[kind], value) for kind, value in names.sans if kind in _OPENSSL_KINDS]
    lines = [
        "[req]",
        "prompt = no",
        "utf8 = yes",
        "string_mask = utf8only",
        "distinguished_name = subject",
        *(["attributes = attributes"] if facts.challenge is not None else []),
        *(["req_extensions = extensions"] if sans else []),
        "[subject]",
        *(f"{attribute} = {openssl(value, attribute)}" for attribute, value in names.subject),
        *(
            ["[attributes]", f"challengePassword = {openssl(facts.challenge, 'challenge')}"]
            if facts.challenge is not None
            else []
        ),
        *(["[extensions]", "subjectAltName = @names", "[names]"] if sans else []),
        *(
            f"{kind}.{number} = {openssl(value, kind)}"
            for number, (kind, value) in enumerate(sans, 1)
        ),
    ]
    return "\n".join(lines)


def own_client(facts: ConfigurationFacts) -> Configuration:
    """`./portal demo`: tries a profile without a device."""
    names = facts.names
    name = names.common_name or next((value for _, value in names.sans), "device")
    steps = []
    enroll = [f"./portal demo --url {shell(facts.url, 'address')}", f"--name {shell(name, 'CN')}"]
    if facts.challenge is not None:
        text = shell(facts.challenge, "challenge")
        steps.append(
            Action(
                "Keep the challenge in a file.", f"umask 077\nprintf '%s\\n' {text} > challenge.txt"
            )
        )
        enroll.append("--challenge-file challenge.txt")
    enroll.append(f"--wait {facts.polling.interval * facts.polling.count} --out device")
    steps.append(
        Action("Enroll. Key, certificate and issuers go to the folder device.", command(*enroll))
    )
    ignored = [f"{attribute}={value}" for attribute, value in names.subject if attribute != "CN"]
    warnings = (
        (f"The test client asks for the common name only; left out: {', '.join(ignored)}.",)
        if ignored
        else ()
    )
    return Configuration(tuple(steps), _root_sha256(facts, "plain"), warnings)


def _root_sha256(facts: ConfigurationFacts, grouping: str) -> tuple[Comparison, ...]:
    return fingerprints(facts, [("root CA", "SHA-256", grouping)], root=True)
