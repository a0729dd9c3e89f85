"""The doctor's checks of private keys: each opens, and belongs to its certificate.

They are here and not in `pkiportal.doctor`: modules that a web process imports must not open keys.
"""

import os
import time
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path
from typing import Final

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured

from approvals.operations import pulse
from ca.content.issuers import IssuerFacts
from ca.models.authorities import CertificateAuthority
from ca.models.keys import ServiceKey
from keys import file as key_file
from keys.errors import KeyStoreError
from pkiportal.doctor.check import Check, Clock

#: Seconds for opening keys: stretching a passphrase takes a moment, and the doctor must end.
_BUDGET: Final = 20.0


def authority_keys(now: Clock) -> Iterator[Check]:
    """The key of each authority that has not ended.

    A missing key is right where another machine signs.
    """
    authorities = list(CertificateAuthority.objects.filter(not_after__gte=now()).order_by("name"))
    if not authorities:
        return
    folder = Path(settings.CA_KEY_FOLDER)
    if folder.exists() and not os.access(folder, os.R_OK | os.X_OK):
        yield Check("signing", "ok", f"another user signs: {folder} is not for this one")
        return
    if not list(folder.glob("*.pem")) and (elsewhere := _signers_elsewhere(now)):
        yield Check(
            "signing", "ok", f"no CA key lies here; the worker {', '.join(elsewhere)} signs"
        )
        return
    end = time.monotonic() + _BUDGET
    for ca in authorities:
        name = f"authority {ca.name}"
        if time.monotonic() > end:
            yield Check(name, "warn", "its key was not opened: time was up")
            continue
        fault = _fault(folder / ca.key_name, ca)
        key = f"{folder / ca.key_name} ({ca.key_type})"
        text = fault or f"{key} opens and belongs to its certificate: it signs"
        yield Check(name, "fail" if fault else "ok", text)


def ra_keys(_: Clock) -> Iterator[Check]:
    """Each RA key on this machine opens with the passphrase and matches its certificate."""
    folder = Path(settings.RA_KEY_FOLDER)
    if not os.access(folder, os.R_OK | os.X_OK):
        return
    end, opened = time.monotonic() + _BUDGET, 0
    for row in ServiceKey.objects.filter(retired_at__isnull=True).order_by("pk"):
        path = folder / row.key_name
        if not path.exists() or time.monotonic() > end:
            continue
        fault = _ra_fault(path, row)
        opened += not fault
        if fault:
            yield Check("RA keys", "fail", fault)
    if opened:
        yield Check("RA keys", "ok", f"{opened} open and are the ones that were certified")


def _fault(path: Path, ca: CertificateAuthority) -> str:
    try:
        key = key_file.load(path, settings.CA_PASSPHRASE())
    except (KeyStoreError, ImproperlyConfigured) as error:
        return f"cannot sign: {error}"
    if key.spki_der != IssuerFacts.from_certificate(ca.certificate_der).spki_der:
        return f"cannot sign: {path} is the key of another certificate"
    return ""


def _ra_fault(path: Path, row: ServiceKey) -> str:
    try:
        key = key_file.load(path, settings.RA_PASSPHRASE())
    except (KeyStoreError, ImproperlyConfigured) as error:
        return f"devices get no answer with it: {error}"
    if sha256(key.spki_der).hexdigest() != row.spki_sha256:
        return f"devices get no answer with it: {path} is not the key that was certified"
    return ""


def _signers_elsewhere(now: Clock) -> list[str]:
    own = pulse.process_name("signing")
    signs = pulse.signs(now=now()).values()
    return [
        sign.name
        for sign in signs
        if sign.name.startswith("signing@") and sign.name != own and sign.is_fresh
    ]
