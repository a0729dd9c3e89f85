"""`./portal devices`: groups of expected devices from lists, and devices that never enrolled."""

from argparse import ArgumentParser
from typing import Any

from django.utils import timezone

from approvals.challenges.device_groups import (
    add_devices,
    create_group,
    remove_silent,
    write_silent,
)
from approvals.models.devices import DeviceGroup, ExpectedDevice
from pkiportal.management.arguments import (
    command_principal,
    content_of,
    department_named,
    device_group_named,
)
from pkiportal.management.output import iso, table
from pkiportal.management.portal_command import PortalCommand


class Command(PortalCommand):
    """Lists are CSV in UTF-8."""

    help = "Make groups of expected devices, add lists to them, and see which devices never called."

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Add action and group."""
        actions = parser.add_subparsers(
            dest="action", required=True, metavar="groups|create|add|list|silent|remove"
        )
        grouping = actions.add_parser("groups", help="every group")
        creating = actions.add_parser("create", help="make an empty group")
        creating.add_argument("group", metavar="GROUP")
        creating.add_argument("--department", metavar="SLUG", help="whose administrators fill it")
        adding = actions.add_parser("add", help="add the devices of a CSV list")
        adding.add_argument("group", metavar="GROUP")
        adding.add_argument("file", metavar="FILE", help="CSV; - is standard input")
        listing = actions.add_parser("list", help="every device of a group, and what it called for")
        listing.add_argument("group", metavar="GROUP")
        silent = actions.add_parser("silent", help="print those that never called, as CSV")
        silent.add_argument("group", metavar="GROUP")
        removing = actions.add_parser("remove", help="take those that never called off the list")
        removing.add_argument("group", metavar="GROUP")
        for action in (grouping, creating, adding, listing, removing):
            self.add_json(action)

    def run(self, options: dict[str, Any]) -> None:
        """Run one action."""
        getattr(self, f"_{options['action']}")(options)

    def _groups(self, options: dict[str, Any]) -> None:
        documents = [
            {
                "group": row.slug,
                "expected": row.devices.count(),
                "silent": row.devices.filter(used_by=None).count(),
            }
            for row in DeviceGroup.objects.order_by("slug")
        ]
        lines = [list(row.values()) for row in documents]
        self.say(
            options,
            documents,
            lambda: table(["group", "expected", "never called"], lines) if lines else "No group.",
        )

    def _create(self, options: dict[str, Any]) -> None:
        department = department_named(options["department"])
        group = create_group(
            options["group"],
            department=department,
            principal=command_principal(),
            now=timezone.now(),
        )
        self.say(
            options,
            {"group": group.slug},
            f"Created {group.slug}: add a list with `./portal devices add`.",
        )

    def _add(self, options: dict[str, Any]) -> None:
        group = device_group_named(options["group"])
        added = add_devices(
            group, content_of(options["file"]), principal=command_principal(), now=timezone.now()
        )
        self.say(
            options, {"group": group.slug, "added": added}, f"{added} new devices are expected."
        )

    def _list(self, options: dict[str, Any]) -> None:
        rows = (
            device_group_named(options["group"])
            .devices.select_related("used_by__certificate")
            .order_by("id")
        )
        documents = [_document(row) for row in rows.iterator(chunk_size=1000)]
        lines = [
            [row["serial_number"], row["mac"], row["name"], row["note"], row["used_at"] or "never"]
            for row in documents
        ]
        headings = ["serial number", "MAC", "name", "note", "called"]
        self.say(
            options,
            documents,
            lambda: table(headings, lines) if lines else "No device is expected.",
        )

    def _silent(self, options: dict[str, Any]) -> None:
        content = write_silent(device_group_named(options["group"]))
        self.stdout.write(content.decode("utf-8-sig").replace("\r\n", "\n"), ending="")

    def _remove(self, options: dict[str, Any]) -> None:
        group = device_group_named(options["group"])
        removed = remove_silent(group, principal=command_principal(), now=timezone.now())
        self.say(options, {"group": group.slug, "removed": removed}, f"Removed: {removed}.")


def _document(row: ExpectedDevice) -> dict[str, Any]:
    request = row.used_by
    certificate = request.certificate if request else None
    return {
        "serial_number": row.serial_number,
        "mac": row.mac,
        "name": row.name,
        "note": row.note,
        "not_before": iso(row.not_before),
        "not_after": iso(row.not_after),
        "used_at": iso(row.used_at),
        "request": str(request.pk) if request else None,
        "serial": certificate.serial_hex if certificate else None,
    }
