"""The pages of expected devices: groups, one group with its devices, lists in and out."""

from typing import Any

from django import forms
from django.contrib import messages
from django.core.validators import validate_slug
from django.db.models import Count, Q, QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils import timezone
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from accounts.doors import principal_of, requires
from accounts.models.people import Department
from accounts.permissions import within
from accounts.roles import Verb
from approvals.challenges import device_groups
from approvals.challenges.lists import MAX_BYTES, ListInvalid
from approvals.models.devices import DeviceGroup, ExpectedDevice
from approvals.reading.queue import count, paginate
from approvals.rules.errors import ApprovalsError


class GroupForm(forms.Form):
    """A new group."""

    slug = forms.CharField(max_length=50, validators=[validate_slug])
    department = forms.ModelChoiceField(
        queryset=Department.objects.order_by("slug"),
        to_field_name="slug",
        required=False,
        empty_label="none",
    )


class DevicesForm(forms.Form):
    """A list to upload."""

    file = forms.FileField(
        error_messages={"required": "Choose a CSV file.", "empty": "The file is empty."}
    )

    def clean_file(self) -> bytes:
        """Return the content; a file that is too large is not read."""
        upload = self.cleaned_data["file"]
        if upload.size > MAX_BYTES:
            raise forms.ValidationError(f"{upload.size:,} bytes: at most {MAX_BYTES:,}")
        return bytes(upload.read())


@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
@requires(Verb.PROFILE_VIEW)
def groups(request: HttpRequest) -> HttpResponse:
    """All device groups; administrators create new ones."""
    form = GroupForm(request.POST or None)
    if request.method == "POST" and form.is_valid():
        try:
            group = device_groups.create_group(
                **form.cleaned_data,
                principal=principal_of(request),
                now=timezone.now(),
            )
            return redirect("device_group", group_slug=group.slug)
        except ApprovalsError as error:
            form.add_error("slug", str(error))
    rows = _groups(request).annotate(expected=Count("devices"), called=Count("devices__used_by"))
    status = 422 if request.method == "POST" else 200
    context = {"groups": rows.order_by("slug")[:500], "form": form}
    return render(request, "approvals/devices/groups.html", context, status=status)


@never_cache
@require_safe
@requires(Verb.PROFILE_VIEW)
def group(request: HttpRequest, group_slug: str) -> HttpResponse:
    """One group: its devices, those that enrolled and those that never did."""
    return _page(request, get_object_or_404(_groups(request), slug=group_slug), ())


@never_cache
@require_POST
@requires(Verb.PROFILE_MANAGE)
def add(request: HttpRequest, group_slug: str) -> HttpResponse:
    """Add the devices of a CSV list."""
    device_group = get_object_or_404(_groups(request, Verb.PROFILE_MANAGE), slug=group_slug)
    form = DevicesForm(request.POST, request.FILES)
    if not form.is_valid():
        return _page(
            request, device_group, [str(text) for errors in form.errors.values() for text in errors]
        )
    try:
        added = device_groups.add_devices(
            device_group,
            form.cleaned_data["file"],
            principal=principal_of(request),
            now=timezone.now(),
        )
    except ListInvalid as error:
        return _page(request, device_group, error.faults)
    messages.success(request, f"{added} new devices are expected.")
    return redirect("device_group", group_slug=group_slug)


@never_cache
@require_safe
@requires(Verb.PROFILE_VIEW)
def silent(request: HttpRequest, group_slug: str) -> HttpResponse:
    """The devices that never enrolled, as CSV."""
    device_group = get_object_or_404(_groups(request), slug=group_slug)
    headers = {
        "Content-Disposition": f'attachment; filename="never-called-{device_group.slug}.csv"'
    }
    content = device_groups.write_silent(device_group)
    return HttpResponse(content, content_type="text/csv; charset=utf-8", headers=headers)


def _groups(request: HttpRequest, verb: Verb = Verb.PROFILE_VIEW) -> QuerySet[DeviceGroup]:
    return DeviceGroup.objects.filter(within(request.user, verb, "department_id")).select_related(
        "department"
    )


def _page(request: HttpRequest, device_group: DeviceGroup, faults: Any) -> HttpResponse:
    state, query = (
        request.GET.get("state", ""),
        request.GET.get("q", "").replace("\0", "").strip().lower(),
    )
    devices = ExpectedDevice.objects.filter(group=device_group).select_related(
        "used_by__certificate"
    )
    rows = (
        devices.filter(used_at__isnull=state == "silent")
        if state in ("silent", "called")
        else devices
    )
    if query:
        rows = rows.filter(
            Q(serial_number=query) | Q(name=query) | Q(mac=query.replace(":", "").replace("-", ""))
        )
    context = {
        "group": device_group,
        "faults": faults,
        "state": state,
        "q": query,
        "page": paginate(rows, request.GET),
        "expected": count(devices),
        "silent": count(devices.filter(used_at__isnull=True)),
        "profiles": device_group.profiles.order_by("slug"),
        "columns": device_groups.COLUMNS,
    }
    return render(request, "approvals/devices/group.html", context, status=422 if faults else 200)
