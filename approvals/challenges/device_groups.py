"""Device groups: created, filled from a CSV list, and listed by missing devices."""

import csv
import io
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Final

from django.db import IntegrityError, transaction
from django.utils.dateparse import parse_date, parse_datetime

from accounts.models.people import Department, User, department_ref
from accounts.permissions import can
from accounts.principals import Principal
from accounts.roles import Verb
from approvals.challenges.eligibility import normalized_mac
from approvals.challenges.lists import MAX_ERRORS, ListInvalid, harmless, read_table
from approvals.models.devices import DeviceGroup, ExpectedDevice
from approvals.rules.bindings import folded
from approvals.rules.errors import ChallengeInvalid, NotPermitted
from audit.events import Event, Subject
from audit.log import record

COLUMNS: Final = ("serial_number", "mac", "name", "note", "not_before", "not_after")
MAX_DEVICES: Final = 100_000
_BATCH: Final = 1000


def create_group(
    slug: str, *, department: Department | None, principal: Principal, now: datetime
) -> DeviceGroup:
    """Create an empty group. Raises NotPermitted, ChallengeInvalid for an existing name."""
    group = DeviceGroup(slug=slug, department=department, created_at=now)
    _may(principal, group)
    try:
        with transaction.atomic():
            group.save(force_insert=True)
            _record(Event.DEVICES_CREATE, group, principal, now=now)
    except IntegrityError:
        raise ChallengeInvalid(
            f"device group {slug!r}: there is one of that name already"
        ) from None
    return group


def add_devices(group: DeviceGroup, content: bytes, *, principal: Principal, now: datetime) -> int:
    """Add the devices of a CSV list, all or none; returns how many were new.

    Known devices stay unchanged. Raises ListInvalid naming every faulty row, NotPermitted.
    """
    _may(principal, group)
    devices: dict[tuple[str, str, str], ExpectedDevice] = {}
    faults: list[str] = []
    for number, row in read_table(content, COLUMNS):
        try:
            device = _device(group, row, added_by=principal.user, now=now)
            devices.setdefault((device.serial_number, device.mac, device.name), device)
        except ChallengeInvalid as error:
            faults.append(f"row {number}: {error}")
        if len(faults) >= MAX_ERRORS or len(devices) > MAX_DEVICES:
            faults.append("and maybe more: the rest was not looked at")
            break
    if faults or not devices:
        raise ListInvalid(faults or ["the list has no rows below its headings"])
    with transaction.atomic():
        before = group.devices.count()
        ExpectedDevice.objects.bulk_create(
            devices.values(), batch_size=_BATCH, ignore_conflicts=True
        )
        added = group.devices.count() - before
        _record(Event.DEVICES_ADD, group, principal, now=now, added=added, listed=len(devices))
    return added


def remove_silent(group: DeviceGroup, *, principal: Principal, now: datetime) -> int:
    """Take every device that never called off the list; returns how many."""
    _may(principal, group)
    with transaction.atomic():
        removed, _ = ExpectedDevice.objects.filter(group=group, used_at__isnull=True).delete()
        _record(Event.DEVICES_REMOVE, group, principal, now=now, removed=removed)
    return removed


def write_silent(group: DeviceGroup) -> bytes:
    """Return the devices that never enrolled as CSV, in the form of an input list."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\r\n")
    writer.writerow(COLUMNS)
    for row in (
        group.devices.filter(used_at__isnull=True).order_by("id").iterator(chunk_size=_BATCH)
    ):
        cells = [
            row.serial_number,
            row.mac,
            row.name,
            row.note,
            _iso(row.not_before),
            _iso(row.not_after),
        ]
        writer.writerow(map(harmless, cells))
    return b"\xef\xbb\xbf" + text.getvalue().encode()


def _device(
    group: DeviceGroup, row: Mapping[str, str], *, added_by: User | None, now: datetime
) -> ExpectedDevice:
    mac = row.get("mac", "")
    device = ExpectedDevice(
        group=group,
        serial_number=_short(folded(row.get("serial_number", "")), 64, "serial number"),
        mac=(normalized_mac(mac) or "") if mac else "",
        name=_short(folded(row.get("name", "")), 255, "name"),
        note=_short(row.get("note", ""), 150, "note"),
        not_before=_time(row.get("not_before", "")),
        not_after=_time(row.get("not_after", "")),
        added_at=now,
        added_by=added_by,
    )
    if mac and not device.mac:
        raise ChallengeInvalid(
            f"MAC address {mac!r}: twelve hexadecimal digits, as 00:1b:44:11:3a:b7"
        )
    if not (device.serial_number or device.mac or device.name):
        raise ChallengeInvalid("give a serial number, a MAC address or a name")
    if device.not_before and device.not_after and device.not_after <= device.not_before:
        raise ChallengeInvalid("not_after: not later than not_before")
    return device


def _short(text: str, limit: int, what: str) -> str:
    if len(text) > limit:
        raise ChallengeInvalid(f"{what} of {len(text)} characters: at most {limit}")
    return text


def _time(text: str) -> datetime | None:
    if not text:
        return None
    try:
        day = parse_date(text)
        moment = datetime(day.year, day.month, day.day, tzinfo=UTC) if day else parse_datetime(text)
    except ValueError:
        moment = None
    if moment is None:
        raise ChallengeInvalid(f"time {text!r}: write it like 2026-01-31 or 2026-01-31T08:00Z")
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def _iso(moment: datetime | None) -> str:
    return f"{moment:%Y-%m-%dT%H:%MZ}" if moment else ""


def _may(principal: Principal, group: DeviceGroup) -> None:
    if principal.user is not None and not can(principal.user, Verb.PROFILE_MANAGE, group):
        raise NotPermitted(f"device group {group.slug}: only administrators change it")


def _record(
    event: Event, group: DeviceGroup, principal: Principal, *, now: datetime, **facts: object
) -> None:
    department = department_ref(group.department)
    subject = Subject.of("device-group", group.slug)
    record(
        event, actor=principal.actor, now=now, subject=subject, data=facts, department=department
    )
