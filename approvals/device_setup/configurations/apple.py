"""Apple's configuration profile with a SCEP payload, for iOS, iPadOS, macOS and tvOS.

The payload type is `com.apple.security.scep`.
"""

import plistlib
from collections.abc import Sequence
from typing import Any, Final
from urllib.parse import urlsplit
from uuid import NAMESPACE_URL, uuid5

from approvals.device_setup.configurations.facts import (
    Action,
    Configuration,
    ConfigurationFacts,
    Polling,
)
from approvals.device_setup.configurations.writing import cannot_ask, fingerprints, printable
from ca.x509.names import ATTRIBUTE_TYPES

CONTENT_TYPE: Final = "application/x-apple-aspen-config"
_SHORT_NAMES: Final = frozenset({"C", "L", "ST", "O", "OU", "CN"})
_SIGN_AND_ENCRYPT: Final = 5
_KINDS: Final = {
    "email": "rfc822Name",
    "dns": "dNSName",
    "uri": "uniformResourceIdentifier",
    "upn": "ntPrincipalName",
}


def polling(facts: ConfigurationFacts) -> Polling:
    """The interval of the device's polls; afterwards it gives up with an error."""
    return facts.polling.within(most=600, times=1440)


def mobileconfig(facts: ConfigurationFacts) -> bytes:
    """Return the configuration profile as an unsigned XML property list. Raises NotExpressible.

    Its identifiers follow from address and subject: a second installation replaces the first.
    """
    identifier = ".".join(
        [*reversed((urlsplit(facts.url).hostname or "portal").split(".")), "scep", facts.profile]
    )
    what = f"Certificate for {facts.names.common_name or facts.profile}"
    key = f"{facts.url}#{facts.names.subject}"
    payload = _common("com.apple.security.scep", f"{identifier}.request", f"{key} payload", what)
    document = _common("Configuration", identifier, key, what) | {
        "PayloadDescription": (
            f"Asks {facts.issuing.name} for a certificate through {facts.profile}."
        ),
        "PayloadContent": [payload | {"PayloadContent": _content(facts)}],
    }
    return plistlib.dumps(document, sort_keys=False)


def apple(facts: ConfigurationFacts) -> Configuration:
    """Return the same as steps for the person who installs the file."""
    waits = polling(facts)
    fields = (
        ("URL", facts.url),
        ("Name", facts.profile),
        (
            "Subject",
            ", ".join(f"{name}={printable(value, name)}" for name, value in facts.names.subject),
        ),
        *(
            ("Subject alternative name", f"{kind}:{printable(value, kind)}")
            for kind, value in facts.names.sans
        ),
        *(
            [("Challenge", printable(facts.challenge, "challenge"))]
            if facts.challenge is not None
            else []
        ),
        ("Key size", f"{facts.key_bits}, RSA, not extractable"),
        ("Retries", f"{waits.count}, every {waits.interval} seconds"),
    )
    steps = (
        Action("Download the configuration profile. This is in it:", fields=fields),
        Action(
            "Install it: on a Mac open the file, then System Settings > General > Device "
            "Management; on an iPhone or "
            "iPad open it in Safari or send it by AirDrop or mail, then Settings > Profile "
            "Downloaded. Or give it "
            "to an MDM."
        ),
    )
    return Configuration(
        steps,
        fingerprints(facts, [("CAFingerprint, root CA", "SHA-1", "PLAIN")], root=True),
        (*_warnings(facts, waits), *cannot_ask(facts, "An Apple profile", *_KINDS)),
    )


def _content(facts: ConfigurationFacts) -> dict[str, Any]:
    waits = polling(facts)
    content: dict[str, Any] = {
        "URL": facts.url,
        "Name": facts.profile,
        "Subject": [
            [[_attribute(name), printable(value, name)]] for name, value in facts.names.subject
        ],
        "Keysize": facts.key_bits,
        "Key Type": "RSA",
        "Key Usage": _SIGN_AND_ENCRYPT,
        "KeyIsExtractable": False,
        "AllowAllAppsAccess": False,
        "CAFingerprint": bytes.fromhex(facts.root.digests["SHA-1"]),
        "Retries": waits.count,
        "RetryDelay": waits.interval,
    }
    if facts.challenge is not None:
        content["Challenge"] = printable(facts.challenge, "challenge")
    names = {
        field: _one_or_all(facts.names.values(kind))
        for kind, field in _KINDS.items()
        if facts.names.values(kind)
    }
    return content | ({"SubjectAltName": names} if names else {})


def _common(kind: str, identifier: str, key: str, name: str) -> dict[str, Any]:
    return {
        "PayloadType": kind,
        "PayloadVersion": 1,
        "PayloadIdentifier": identifier,
        "PayloadUUID": str(uuid5(NAMESPACE_URL, key)).upper(),
        "PayloadDisplayName": printable(name, "name"),
    }


def _attribute(name: str) -> str:
    return name if name in _SHORT_NAMES else ATTRIBUTE_TYPES[name].oid


def _one_or_all(values: Sequence[str]) -> str | list[str]:
    checked = [printable(value, "alternative name") for value in values]
    return checked[0] if len(checked) == 1 else checked


def _warnings(facts: ConfigurationFacts, waits: Polling) -> tuple[str, ...]:
    hours = waits.count * waits.interval // 3600
    manual = (
        (
            f"After {hours} hours without a decision the device gives up: install the file again; "
            "the "
            "request goes on."
        ),
        "An MDM may give up sooner than the device: watch the queue while a roll-out runs.",
    )
    one_time = ("The challenge in a file serves one device. Make a file for each.",)
    renewal = (
        (
            "Devices do not renew by themselves: the profile is installed again before the "
            "certificate "
            "ends."
        ),
    )
    return (
        *(manual if facts.is_manual else ()),
        *(one_time if facts.is_one_time else ()),
        *renewal,
        (
            "RSA keys only. The CA certificates are not in the profile: who relies on the "
            "certificate "
            "installs them."
        ),
    )
