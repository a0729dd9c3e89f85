"""Windows: the settings of its SCEP client for an MDM (SyncML), and PowerShell over CertEnroll.

Not tested on a device. certreq has no SCEP: it speaks to Microsoft's own enrollment services only.
"""

from typing import Final

from approvals.device_setup.configurations.facts import Action, Configuration, ConfigurationFacts
from approvals.device_setup.configurations.writing import (
    cannot_ask,
    fingerprints,
    listed,
    plain_name,
    powershell,
    xml,
)

_SIGN_AND_ENCRYPT: Final = 0xA0
_CLIENT_AUTH: Final = "1.3.6.1.5.5.7.3.2"
#: AlternativeNameType of CertEnroll, which the CSP writes before a plus sign as well.
_KINDS: Final = {"email": 2, "dns": 3, "uri": 7, "upn": 11}
_TPM_BITS: Final = 2048


def windows(facts: ConfigurationFacts) -> Configuration:
    """Two ways, each complete."""
    steps = (
        Action("For one machine: PowerShell as an administrator.", _script(facts)),
        Action(
            "For an MDM: custom settings (OMA-URI, SyncML) of the ClientCertificateInstall CSP.",
            _syncml(facts),
        ),
        Action(
            "Look how it goes: Event Viewer, Applications and Services Logs, Microsoft, Windows, "
            "DeviceManagement-Enterprise-Diagnostics-Provider (MDM) or CertificateServicesClient "
            "(PowerShell)."
        ),
    )
    compare = fingerprints(facts, [("CAThumbprint, issuing CA", "SHA-1", "plain")])
    return Configuration(
        steps, compare, (*_warnings(facts), *cannot_ask(facts, "Windows", *_KINDS))
    )


def _script(facts: ConfigurationFacts) -> str:
    names = [
        (_KINDS[kind], kind, value)
        for kind, value in facts.names.sans
        if kind in {"dns", "email", "upn"}
    ]
    lines = [
        "$request = New-Object -ComObject X509Enrollment.CX509CertificateRequestPkcs10",
        "$request.Initialize(2)  # the machine's store; 1 is the user's",
        f"$request.PrivateKey.Length = {facts.key_bits}",
        "$request.PrivateKey.ExportPolicy = 0",
        "$name = New-Object -ComObject X509Enrollment.CX500DistinguishedName",
        f"$name.Encode({powershell(plain_name(facts.names, ', '), 'subject')})",
        "$request.Subject = $name",
    ]
    if facts.challenge is not None:
        lines.append(f"$request.ChallengePassword = {powershell(facts.challenge, 'challenge')}")
    if names:
        lines.append("$names = New-Object -ComObject X509Enrollment.CAlternativeNames")
    for number, kind, value in names:
        lines += [
            "$one = New-Object -ComObject X509Enrollment.CAlternativeName",
            f"$one.InitializeFromString({number}, {powershell(value, kind)})",
            "$names.Add($one)",
        ]
    if names:
        lines += [
            "$extension = New-Object -ComObject X509Enrollment.CX509ExtensionAlternativeNames",
            "$extension.InitializeEncode($names)",
            "$request.X509Extensions.Add($extension)",
        ]
    return "\n".join([*lines, *_loop(facts)])


def _loop(facts: ConfigurationFacts) -> list[str]:
    thumbprint = powershell(facts.issuing.digests["SHA-1"], "thumbprint")
    return [
        "$scep = New-Object -ComObject X509Enrollment.CX509SCEPEnrollmentHelper",
        f"$scep.Initialize({powershell(facts.url, 'address')}, '', $request, {thumbprint})",
        "$answer = $scep.Enroll(0)",
        (
            f"while ($answer -eq 3) {{ Start-Sleep -Seconds {facts.polling.interval}; $answer = "
            f"$scep.FetchPending(0) }}"
        ),
        "if ($answer -ne 0) { throw $scep.ResultMessageText }",
    ]


def _syncml(facts: ConfigurationFacts) -> str:
    base = f"./Device/Vendor/MSFT/ClientCertificateInstall/SCEP/{facts.label}"
    waits = facts.polling.within(least=60, most=900, times=30)
    sans = listed(
        ((f"{_KINDS[kind]}+", value) for kind, value in facts.names.sans if kind in _KINDS), ";"
    )
    settings: list[tuple[str, str, str]] = [
        ("ServerURL", "chr", facts.url),
        *([("Challenge", "chr", facts.challenge)] if facts.challenge is not None else []),
        ("SubjectName", "chr", plain_name(facts.names)),
        *([("SubjectAlternativeNames", "chr", sans)] if sans else []),
        ("EKUMapping", "chr", _CLIENT_AUTH),
        ("KeyUsage", "int", str(_SIGN_AND_ENCRYPT)),
        ("KeyLength", "int", str(facts.key_bits)),
        ("KeyProtection", "int", "2"),
        ("HashAlgorithm", "chr", "SHA-2"),
        ("CAThumbprint", "chr", facts.issuing.digests["SHA-1"]),
        ("RetryCount", "int", str(waits.count)),
        ("RetryDelay", "int", str(waits.interval // 60)),
    ]
    items = [
        _node(base),
        *(_add(f"{base}/Install/{name}", kind, value) for name, kind, value in settings),
    ]
    enroll = f"<Exec><Item><Target><LocURI>{base}/Install/Enroll</LocURI></Target></Item></Exec>"
    return "\n".join(["<Atomic>", *items, enroll, "</Atomic>"])


def _node(uri: str) -> str:
    meta = '<Meta><Format xmlns="syncml:metinf">node</Format></Meta>'
    return f"<Add><Item><Target><LocURI>{uri}</LocURI></Target>{meta}</Item></Add>"


def _add(uri: str, kind: str, value: str) -> str:
    meta = f'<Meta><Format xmlns="syncml:metinf">{kind}</Format></Meta>'
    data = xml(value, uri.rpartition("/")[2])
    return (
        f"<Add><Item><Target><LocURI>{uri}</LocURI></Target>{meta}<Data>{data}</Data></Item></Add>"
    )


def _warnings(facts: ConfigurationFacts) -> tuple[str, ...]:
    tpm = (
        (
            f"Most TPMs make RSA keys of at most {_TPM_BITS} bits; this profile wants "
            f"{facts.key_bits}: a software key."
        ),
    )
    manual = (
        (
            "As an MDM setting Windows asks at most 30 times: decide meanwhile, or let the MDM "
            "send "
            "the setting again."
        ),
    )
    return (
        *(tpm if facts.key_bits > _TPM_BITS else ()),
        *(manual if facts.is_manual else ()),
        (
            "If it reports a wrong hash, give it the thumbprint of the root instead. certreq has "
            "no "
            "SCEP."
        ),
        "Written from Microsoft's reference; neither way was tried here.",
    )
