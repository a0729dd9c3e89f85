"""People, roles and departments in Django's admin; each change is recorded in its own transaction.

Whether a page shows at all, and to whom, is `accounts.permissions`' answer (`User.has_perm`).
"""

from collections.abc import Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any

from allauth.account.models import EmailAddress
from django.contrib import admin
from django.contrib.auth.admin import UserAdmin
from django.contrib.auth.forms import BaseUserCreationForm
from django.contrib.auth.models import Group
from django.core.paginator import Paginator
from django.db import models, transaction
from django.http import HttpRequest, HttpResponse
from django.utils import timezone

from accounts.doors import actor_of
from accounts.models import Department, RoleAssignment, User
from audit.events import Event, Personal, Subject
from audit.log import record

_LID = 1000

if TYPE_CHECKING:  # Django's classes take their models in the stubs only
    AnyAdmin = admin.ModelAdmin[Any]
    AnyInline = admin.TabularInline[Any, Any]
    AnyUserAdmin = UserAdmin[User]
    CreationForm = BaseUserCreationForm[User]
else:
    AnyAdmin, AnyInline = admin.ModelAdmin, admin.TabularInline
    AnyUserAdmin, CreationForm = UserAdmin, BaseUserCreationForm

for _unused in (Group, EmailAddress):
    if admin.site.is_registered(_unused):
        admin.site.unregister(_unused)


class LiddedPaginator(Paginator):  # type: ignore[type-arg]  # django-stubs: the class takes no argument at run time
    """Counts at most a thousand rows: no page of the admin scans a table."""

    @cached_property
    def count(self) -> int:
        return len(self.object_list[:_LID])


class ReadOnlyAdmin(AnyAdmin):
    """Records: looked at, never changed here."""

    paginator = LiddedPaginator
    show_full_result_count = False
    list_per_page = 50
    ordering = ("-pk",)

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: models.Model | None = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: models.Model | None = None) -> bool:
        return False


class UserCreationForm(CreationForm):
    """A new person with a first password."""

    class Meta:
        model = User
        fields = ("username", "full_name", "email")


class RoleInline(AnyInline):
    """Roles are granted and taken away; one is never turned into another."""

    model = RoleAssignment
    extra = 1
    fields = ("role", "department")

    def has_change_permission(self, request: HttpRequest, obj: models.Model | None = None) -> bool:
        return False


@admin.register(User)
class PersonAdmin(AnyUserAdmin):
    """A person, with their roles beside; nobody is deleted, since decisions name their officer."""

    add_form = UserCreationForm
    inlines = [RoleInline]
    list_display = ("username", "full_name", "email", "is_active", "roles")
    list_filter = ("is_active", "role_assignments__role")
    search_fields = ("username", "full_name", "email")
    ordering = ("username",)
    filter_horizontal = ()
    readonly_fields = ("last_login", "date_joined")
    fieldsets = (
        (None, {"fields": ("username", "password")}),
        ("Person", {"fields": ("full_name", "email", "is_active")}),
        ("Dates", {"fields": ("last_login", "date_joined")}),
    )
    add_fieldsets = ((None, {"fields": ("username", "full_name", "email", "password1", "password2")}),)

    def get_queryset(self, request: HttpRequest) -> models.QuerySet[User]:
        return super().get_queryset(request).prefetch_related("role_assignments__department")

    @admin.display(description="Roles")
    def roles(self, user: User) -> str:
        """All roles in one line."""
        return ", ".join(map(str, user.role_assignments.all())) or "none"

    def save_formset(self, request: HttpRequest, form: Any, formset: Any, change: bool) -> None:  # noqa: FBT001 - Django's call
        """Grant and take away roles, each with an entry."""
        super().save_formset(request, form, formset, change)
        for event, rows in ((Event.ROLE_GRANT, formset.new_objects), (Event.ROLE_REVOKE, formset.deleted_objects)):
            for row in rows:
                _record(
                    request, event, row.user, role=row.role, department=row.department.slug if row.department else ""
                )

    def log_addition(self, request: HttpRequest, obj: Any, message: Any) -> Any:
        """Write the fact beside Django's own note, in the transaction of the change."""
        _record(request, Event.USER_CREATE, obj, username=Personal(obj.username))
        return super().log_addition(request, obj, message)

    def log_change(self, request: HttpRequest, obj: Any, message: Any) -> Any:
        """As `log_addition`; names the fields, the values of a person are nobody's business."""
        _record(request, Event.USER_CHANGE, obj, changed=_changed_fields(message), is_active=obj.is_active)
        return super().log_change(request, obj, message)

    def user_change_password(self, request: HttpRequest, id: str, form_url: str = "") -> HttpResponse:  # noqa: A002 - Django's name
        """Set a password, in one transaction with its entry."""
        with transaction.atomic():
            return super().user_change_password(request, id, form_url)


@admin.register(Department)
class DepartmentAdmin(AnyAdmin):
    """Departments; profiles and roles may be limited to one."""

    list_display = ("name", "slug")

    def get_readonly_fields(self, request: HttpRequest, obj: Department | None = None) -> tuple[str, ...]:
        """The slug stands in the log, so it stays."""
        return ("slug",) if obj else ()

    def get_prepopulated_fields(self, request: HttpRequest, obj: Department | None = None) -> dict[str, Sequence[str]]:
        return {} if obj else {"slug": ("name",)}


def _record(request: HttpRequest, event: Event, user: User, **data: object) -> None:
    subject = Subject.of("user", user.pk)
    record(event, actor=actor_of(request), now=timezone.now(), subject=subject, data=data)


def _changed_fields(message: Any) -> list[str]:
    """The names of changed fields from Django's change message."""
    if not isinstance(message, list):
        return [str(message)] if message else []
    return sorted({str(name) for part in message for name in part.get("changed", {}).get("fields", ())})
