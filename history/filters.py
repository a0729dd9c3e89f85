"""The filters of the auditors' lists."""

from typing import Any, Final
from uuid import UUID

import django_filters
from django import forms
from django.db.models import Exists, OuterRef, Q, QuerySet
from django.http import HttpRequest

from accounts.models.people import Department
from accounts.permissions import within
from accounts.roles import Verb
from approvals.models.profiles import EnrollmentProfile
from approvals.models.requests import EnrollmentRequest, RefusalNumber
from approvals.pages.filters import PeriodFilter, RequestFilter, profiles_of
from approvals.reading.queue import certificates_without_self_tests, search, without_self_tests
from approvals.records.refusal_numbers import number_in
from audit.events import Event
from audit.models import AuditEntry
from ca.models.authorities import CertificateAuthority
from ca.models.certificates import Certificate, CertificateKind, CertificateStatus, CertificateTerm

_EVENTS: Final = [(event.value, event.label) for event in Event]


class RequestHistoryFilter(RequestFilter):
    """Filters over all requests. Self-tests are left out unless their profile is chosen."""

    def filter_queryset(self, rows: QuerySet[EnrollmentRequest]) -> QuerySet[EnrollmentRequest]:
        rows = rows if _chooses_self_tests(self.form.cleaned_data) else without_self_tests(rows)
        filtered: QuerySet[EnrollmentRequest] = super().filter_queryset(rows)
        return filtered


class CertificateFilter(PeriodFilter):
    """Filters over certificates, kept in the address."""

    moment_field = "prepared_at"

    q = django_filters.CharFilter(
        method="matching",
        max_length=255,
        widget=forms.TextInput(
            attrs={"type": "search", "placeholder": "name, serial number, fingerprint"}
        ),
    )
    status = django_filters.ChoiceFilter(choices=CertificateStatus.choices, empty_label="any state")
    profile = django_filters.ModelChoiceFilter(
        queryset=profiles_of, to_field_name="slug", method="of_profile", empty_label="any profile"
    )
    ca = django_filters.ModelChoiceFilter(
        queryset=lambda _: CertificateAuthority.objects.order_by("name"),
        to_field_name="name",
        empty_label="any CA",
    )

    class Meta:
        model = Certificate
        fields: list[str] = []

    def filter_queryset(self, rows: QuerySet[Certificate]) -> QuerySet[Certificate]:
        """Leave out self-tests unless their profile or CA is chosen."""
        rows = (
            rows
            if _chooses_self_tests(self.form.cleaned_data)
            else certificates_without_self_tests(rows)
        )
        filtered: QuerySet[Certificate] = super().filter_queryset(rows)
        return filtered

    def matching(self, rows: QuerySet[Certificate], name: str, value: str) -> QuerySet[Certificate]:
        return search(rows, CertificateTerm, "certificate_id", value)

    def of_profile(
        self, rows: QuerySet[Certificate], name: str, value: Any
    ) -> QuerySet[Certificate]:
        return rows.filter(
            Exists(EnrollmentRequest.objects.filter(pk=OuterRef("order_id"), profile=value))
        )


class AuditFilter(PeriodFilter):
    """Filters over the audit log: by event, subject, person and period."""

    moment_field = "at"

    event = django_filters.ChoiceFilter(choices=_EVENTS, empty_label="any event")
    subject = django_filters.CharFilter(
        method="about",
        max_length=64,
        label="about",
        widget=forms.TextInput(
            attrs={"type": "search", "placeholder": "request, certificate, person, refusal"}
        ),
    )

    class Meta:
        model = AuditEntry
        fields: list[str] = []

    def about(self, rows: QuerySet[AuditEntry], name: str, value: str) -> QuerySet[AuditEntry]:
        """Exactly one subject of any kind; an entry by its identifier; refusals by their number.

        The index needs the kind.
        """
        about = Q(subject_kind__in=SUBJECT_KINDS, subject_id=value.strip())
        entries = RefusalNumber.objects.filter(number=number_in(value), entry_id__isnull=False)
        keys = [
            key for key in (_key(value), *entries.values_list("entry_id", flat=True)[:200]) if key
        ]
        return rows.filter(about | Q(pk__in=keys) if keys else about)


def _key(text: str) -> UUID | None:
    try:
        return UUID(text.strip())
    except ValueError:
        return None


SUBJECT_KINDS: Final = (
    "request",
    "certificate",
    "challenge",
    "device-group",
    "profile",
    "certificate-profile",
    "authority",
    "service-key",
    "key",
    "user",
    "token",
    "ndes-account",
    "secret",
    "self-test",
    "exchange",
)


def _chooses_self_tests(choices: dict[str, Any]) -> bool:
    profile, ca = choices.get("profile"), choices.get("ca")
    if profile is not None and profile.for_self_test:
        return True
    return ca is not None and EnrollmentProfile.objects.filter(ca=ca, for_self_test=True).exists()


def certificates_of(request: HttpRequest) -> QuerySet[Certificate]:
    """Return the certificates that the person of this page may see, without their bytes.

    Officers of one department see those that were ordered by requests of its profiles.
    """
    rows = Certificate.objects.filter(kind=CertificateKind.ORDERED).defer("der", "tbs")
    allowed = within(request.user, Verb.CERTIFICATE_VIEW, "profile__department_id")
    if allowed:
        rows = rows.filter(
            Exists(EnrollmentRequest.objects.filter(allowed, pk=OuterRef("order_id")))
        )
    return rows.select_related("ca", "profile_version__profile")


def entries_of(request: HttpRequest) -> QuerySet[AuditEntry]:
    """Return the audit entries that the person may see: all, or those of their departments."""
    allowed: Q = within(request.user, Verb.AUDIT_VIEW, "id")
    if not allowed:
        return AuditEntry.objects.all()
    departments = Department.objects.filter(allowed).values("slug")
    return AuditEntry.objects.filter(department__in=departments).exclude(department="")
