"""Whether a request comes from an expected device: by serial number, MAC address and name.

None of the three is secret. A listed device may ask; each enrolls once, and an automatic profile
approves only the listed name (ADR).
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
class ListMatch:
    """The result of a list for a request: its device, or the cause of no match."""

    group: DeviceGroup
    device: ExpectedDevice | None = None
    cause: Cause | None = None

    @property
    def is_named(self) -> bool:
        """Whether the list gives the device's name: an automatic approval needs that."""
        return self.device is not None and bool(self.device.name)

    def finding(self) -> Finding:
        """Return the finding for officers."""
        if self.device is None:
            return Finding("warn", "not-expected", f"list {self.group.slug}: {self.cause}")
        note = f" ({self.device.note})" if self.device.note else ""
        return Finding("info", "expected", f"on the list {self.group.slug}: {self.device}{note}")


def normalized_mac(text: str) -> str | None:
    """Return the twelve digits of a MAC address in any usual spelling, None for anything else."""
    digits = text.strip().lower()
    return re.sub(r"[:.-]", "", digits) if _MAC.fullmatch(digits) else None


def find_listed(group: DeviceGroup, submission: Submission, *, now: datetime) -> ListMatch:
    """Return the listed device of a request that may enroll now, or the cause of no match."""
    matches = _matching(group, submission)
    causes = [_fault(device, now=now) for device in matches]
    for device, cause in zip(matches, causes, strict=True):
        if cause is None:
            return ListMatch(group, device)
    return ListMatch(group, cause=causes[0] if causes else Cause.NOT_LISTED)


def is_member(group: DeviceGroup, submission: Submission) -> bool:
    """Whether the request comes from a device of the group, at any time and any number of times."""
    return bool(_matching(group, submission))


def use_listing(device: ExpectedDevice, *, request: EnrollmentRequest, now: datetime) -> None:
    """Record that an expected device enrolled; if a parallel request was faster, raise.

    The whole attempt is then rolled back.
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
    condition = (
        Q(serial_number__in=_some(serials)) | Q(mac__in=_some(macs)) | Q(name__in=_some(names))
    )
    rows = (
        ExpectedDevice.objects.filter(condition, group=group)
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
    """Return serialNumber values in the subject that are not of the row (serial number, MAC)."""
    others = [
        value
        for name, value in claims.subject
        if name == "serialNumber" and value != row.serial_number
    ]
    return [value for value in others if normalized_mac(value) != row.mac]


def _is_named(row: ExpectedDevice, claims: Claims) -> bool:
    """Whether the request asks only for the name of the row; serial numbers do not count."""
    names = claims.names - ({row.serial_number} - {row.name})
    return Binding(common_name=row.name).fault(replace(claims, names=names)) is None


def _fault(device: ExpectedDevice, *, now: datetime) -> Cause | None:
    other = device.used_by
    if other is not None and (other.is_open or State(other.state) not in REFUSED_STATES):
        return Cause.LISTED_USED
    if (device.not_before and now < device.not_before) or (
        device.not_after and now > device.not_after
    ):
        return Cause.LISTED_OTHER_TIME
    return None


def _some(values: Iterable[str]) -> list[str]:
    """Return the values that can be looked up: PostgreSQL text cannot contain NUL."""
    return sorted(value for value in values if value and "\0" not in value)[:100]
