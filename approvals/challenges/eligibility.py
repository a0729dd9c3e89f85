"""Whether a request comes from a device that is expected: by serial number, MAC address and name.

None of the three is a secret. A listed device is one that may ask; each enrolls once, and what a
list promises to an automatic profile is bound to a name (ADR).
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final

from django.db.models import Q

from approvals.models.devices import DeviceGroup, ExpectedDevice
from approvals.models.requests import EnrollmentRequest
from approvals.rules.bindings import Binding, Claims, claims_of, folded, names_of
from approvals.rules.errors import Cause, Overtaken
from approvals.rules.states import REFUSED_STATES, State
from approvals.rules.submission import Submission
from ca.x509.findings import Finding

_MAC: Final = re.compile(
    r"(?:[0-9a-f]{2}([:-]?)(?:[0-9a-f]{2}\1){4}[0-9a-f]{2}|[0-9a-f]{4}\.[0-9a-f]{4}\.[0-9a-f]{4})"
)
_SERIALS: Final = ("serialNumber", "unstructuredName")


@dataclass(frozen=True, slots=True)
class Listing:
    """What a list says of a request: the device it is, or the cause why it is none of them."""

    group: DeviceGroup
    device: ExpectedDevice | None = None
    cause: Cause | None = None

    @property
    def is_named(self) -> bool:
        """Whether the list says under which name the device may ask: an automatic approval needs
        that.
        """
        return self.device is not None and bool(self.device.name)

    def finding(self) -> Finding:
        """Return what an officer reads."""
        if self.device is None:
            return Finding("warn", "not-expected", f"list {self.group.slug}: {self.cause}")
        note = f" ({self.device.note})" if self.device.note else ""
        return Finding("info", "expected", f"on the list {self.group.slug}: {self.device}{note}")


def normalized_mac(text: str) -> str | None:
    """Return the twelve digits of a MAC address in any usual spelling, None for anything else."""
    found = text.strip().lower()
    return re.sub(r"[:.-]", "", found) if _MAC.fullmatch(found) else None


def find_listed(group: DeviceGroup, submission: Submission, *, now: datetime) -> Listing:
    """Return the device of the list that a request comes from, and may ask now; or why it is
    none.
    """
    found = _matching(group, submission)
    causes = [_fault(device, now=now) for device in found]
    for device, cause in zip(found, causes, strict=True):
        if cause is None:
            return Listing(group, device)
    return Listing(group, cause=causes[0] if causes else Cause.NOT_LISTED)


def is_member(group: DeviceGroup, submission: Submission) -> bool:
    """Whether the request comes from a device of the group, whenever and however often."""
    return bool(_matching(group, submission))


def use_listing(device: ExpectedDevice, *, request: EnrollmentRequest, now: datetime) -> None:
    """Note that an expected device has called; where a parallel request was faster, the whole
    attempt is undone.
    """
    rows = ExpectedDevice.objects.filter(pk=device.pk, used_by=device.used_by_id)
    if not rows.update(used_by=request, used_at=now):
        raise Overtaken("a parallel message used the place of this expected device")


def _matching(group: DeviceGroup, submission: Submission) -> list[ExpectedDevice]:
    csr = submission.csr
    texts = [*names_of(csr), *(a.value for a in csr.subject.attributes if a.name in _SERIALS)]
    serials = {folded(a.value) for a in csr.subject.attributes if a.name in _SERIALS}
    macs = {mac for mac in map(normalized_mac, texts) if mac}
    names = {folded(name) for name in names_of(csr)}
    wanted = Q(serial_number__in=_some(serials)) | Q(mac__in=_some(macs)) | Q(name__in=_some(names))
    rows = (
        ExpectedDevice.objects.filter(wanted, group=group)
        .select_related("used_by")
        .order_by("id")[:100]
    )
    claims = claims_of(submission)
    return [
        row
        for row in rows
        if (
            not row.serial_number
            or (row.serial_number in serials and not _other_serials(row, claims))
        )
        and (not row.mac or row.mac in macs)
        and (not row.name or _is_named(row, claims))
    ]


def _other_serials(row: ExpectedDevice, claims: Claims) -> list[str]:
    """What stands as serialNumber in the subject and is neither the row's serial number nor its MAC
    address.
    """
    found = [
        value
        for name, value in claims.subject
        if name == "serialNumber" and value != row.serial_number
    ]
    return [value for value in found if normalized_mac(value) != row.mac]


def _is_named(row: ExpectedDevice, claims: Claims) -> bool:
    """Whether the request asks for the name of the row and for none beside it; its serial number is
    none.
    """
    names = claims.names - ({row.serial_number} - {row.name})
    return Binding(common_name=row.name).fault(replace(claims, names=names)) is None


def _fault(device: ExpectedDevice, *, now: datetime) -> Cause | None:
    if device.used_by is not None and State(device.used_by.state) not in REFUSED_STATES:
        return Cause.LISTED_USED
    if (device.not_before and now < device.not_before) or (
        device.not_after and now > device.not_after
    ):
        return Cause.LISTED_OTHER_TIME
    return None


def _some(values: Iterable[str]) -> list[str]:
    """What may be looked up: PostgreSQL knows no text with NUL, so no list has one."""
    return sorted(value for value in values if value and "\0" not in value)[:100]
