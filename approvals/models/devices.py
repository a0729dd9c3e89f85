"""Device groups: lists of expected devices, and which of them enrolled."""

from django.db import models
from django.db.models import Q

from accounts.models.people import Department, User
from database.ids import uuid7


class DeviceGroup(models.Model):
    """A named list of expected devices; they enroll without a challenge, or challenges name it."""

    slug = models.SlugField(unique=True)
    department = models.ForeignKey(Department, on_delete=models.PROTECT, null=True, blank=True)
    created_at = models.DateTimeField(editable=False)

    def __str__(self) -> str:
        return self.slug


class ExpectedDevice(models.Model):
    """One expected device, known by serial number, MAC address and name as far as given.

    It enrolls once.
    """

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    group = models.ForeignKey(DeviceGroup, on_delete=models.PROTECT, related_name="devices")
    serial_number = models.CharField(max_length=64, blank=True)  # in lower case
    mac = models.CharField(max_length=12, blank=True)  # twelve hexadecimal digits
    name = models.CharField(max_length=255, blank=True)  # in lower case
    note = models.CharField(max_length=150, blank=True)
    not_before = models.DateTimeField(null=True)
    not_after = models.DateTimeField(null=True)
    added_at = models.DateTimeField()
    added_by = models.ForeignKey(User, on_delete=models.PROTECT, null=True, related_name="+")
    used_at = models.DateTimeField(null=True)
    used_by = models.OneToOneField(
        "EnrollmentRequest", on_delete=models.PROTECT, null=True, related_name="expected_device"
    )

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["group", "serial_number", "mac", "name"], name="approvals_expected_once"
            ),
            models.CheckConstraint(
                condition=~Q(serial_number="", mac="", name=""),
                name="approvals_expected_is_known_by_something",
            ),
            models.CheckConstraint(
                condition=Q(used_at__isnull=True, used_by__isnull=True)
                | Q(used_at__isnull=False, used_by__isnull=False),
                name="approvals_expected_used_by_a_request",
            ),
        ]
        indexes = [
            models.Index(fields=["group", "name"], name="approvals_expected_by_name"),
            models.Index(fields=["group", "mac"], name="approvals_expected_by_mac"),
            models.Index(
                fields=["group", "id"],
                condition=Q(used_at__isnull=True),
                name="approvals_expected_silent",
            ),
        ]

    def __str__(self) -> str:
        mac = ":".join(self.mac[start : start + 2] for start in range(0, len(self.mac), 2))
        identifiers = (("serial number", self.serial_number), ("MAC", mac), ("name", self.name))
        return ", ".join(f"{kind} {value}" for kind, value in identifiers if value)
