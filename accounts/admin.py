"""People, roles and departments in Django's admin; each change is recorded in its own transaction.

`accounts.permissions` decides which pages a person sees (`User.has_perm`).
"""

from collections.abc import Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any

from allauth.account.models import EmailAddress
from django.conf import settings
from django.contrib import admin, messages
from django.contrib.auth.models import Group
from django.core.exceptions import PermissionDenied, ValidationError
from django.core.paginator import Paginator
from django.db import models
from django.forms import BaseInlineFormSet, ModelForm
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString

from accounts.doors import principal_of
from accounts.models.changes import ChangeKind
from accounts.models.people import Department, RoleAssignment, User, department_ref
from accounts.people.changes import Author, note_change
from accounts.people.manage import LastAdministrator, keep_an_administrator, record_role
from accounts.people.password_links import LinkNotIssued, has_open_link, issue_link
from accounts.roles import Role
from audit.events import Event, Personal, Subject
from audit.log import record

_LID = 1000

if TYPE_CHECKING:  # Django's classes take their models in the stubs only
    AnyAdmin = admin.ModelAdmin[Any]
    AnyInline = admin.TabularInline[Any, Any]
    AnyForm = ModelForm[Any]
    AnyInlineFormSet = BaseInlineFormSet[Any, Any, Any]
else:
    AnyAdmin, AnyInline, AnyForm, AnyInlineFormSet = (
        admin.ModelAdmin,
        admin.TabularInline,
        ModelForm,
        BaseInlineFormSet,
    )

for _unused in (Group, EmailAddress):
    if admin.site.is_registered(_unused):
        admin.site.unregister(_unused)


class LiddedPaginator(Paginator):  # type: ignore[type-arg]  # django-stubs: the class takes no argument at run time
    """Counts at most a thousand rows, so that no admin page scans a whole table."""

    @cached_property
    def count(self) -> int:
        return len(self.object_list[:_LID])


class ReadOnlyAdmin(AnyAdmin):
    """Rows that the admin shows and never changes."""

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


class RoleFormSet(AnyInlineFormSet):
    """The roles of one person; the last administrator keeps that role."""

    def clean(self) -> None:
        """Refuse to take the role from the only remaining administrator."""
        super().clean()
        removed = [form.instance for form in self.deleted_forms if form.instance.pk]
        if any(row.role == Role.ADMINISTRATOR and row.department_id is None for row in removed):
            _keep_an_administrator(self.instance)


class RoleInline(AnyInline):
    """Roles are granted and taken away, never edited."""

    model = RoleAssignment
    formset = RoleFormSet
    extra = 1
    fields = ("role", "department")

    def has_change_permission(self, request: HttpRequest, obj: models.Model | None = None) -> bool:
        return False


class PersonForm(AnyForm):
    """The form of a person; the last administrator cannot be switched off."""

    def clean_is_active(self) -> bool:
        """Refuse to switch off the only remaining administrator."""
        is_active: bool = self.cleaned_data["is_active"]
        if not is_active and self.initial["is_active"]:
            _keep_an_administrator(self.instance)
        return is_active


@admin.register(User)
class PersonAdmin(AnyAdmin):
    """A person and their roles. People are never deleted, since decisions name their officer.

    No form here takes a password: the person sets it through a link
    (`accounts.people.password_links`).
    """

    form = PersonForm
    inlines = [RoleInline]
    list_display = ("username", "full_name", "email", "is_active", "roles")
    list_filter = ("is_active", "role_assignments__role")
    search_fields = ("username", "full_name", "email")
    ordering = ("username",)
    readonly_fields = ("password_state", "last_login", "date_joined")
    fieldsets = (
        (None, {"fields": ("username", "password_state")}),
        ("Person", {"fields": ("full_name", "email", "is_active")}),
        ("Dates", {"fields": ("last_login", "date_joined")}),
    )
    add_fieldsets = ((None, {"fields": ("username", "full_name", "email")}),)

    def get_fieldsets(self, request: HttpRequest, obj: User | None = None) -> Any:
        """A new person needs a name and an address; the other fields follow after saving."""
        return super().get_fieldsets(request, obj) if obj else self.add_fieldsets

    def get_urls(self) -> list[URLPattern]:
        """Replace Django's password page by the page that issues a password link."""
        view = self.admin_site.admin_view(self.password_link)
        return [
            path("<id>/password/", view, name="accounts_user_password_link"),
            *super().get_urls(),
        ]

    @admin.display(description="Password")
    def password_state(self, user: User) -> SafeString:
        """Whether the person has a password, with a link to the page that issues a link."""
        state = "set by its owner" if user.has_usable_password() else "none yet"
        waiting = "; a link is open" if has_open_link(user, now=timezone.now()) else ""
        address = reverse("admin:accounts_user_password_link", args=[user.pk])
        return format_html('{}{}. <a href="{}">Issue a password link</a>', state, waiting, address)

    def password_link(self, request: HttpRequest, id: str) -> HttpResponse:  # noqa: A002 - the name in the route
        """Issue a password link on POST, and show it if it cannot be mailed.

        A GET explains the link and names the people who will be told.
        """
        user = get_object_or_404(User, pk=id)
        if not self.has_change_permission(request, user):
            raise PermissionDenied
        link = None
        if request.method == "POST":
            try:
                link = issue_link(user, principal=principal_of(request), now=timezone.now())
            except LinkNotIssued as refusal:
                messages.error(request, str(refusal))
        context = {
            **self.admin_site.each_context(request),
            "title": f"Password link for {user.username}",
            "opts": self.opts,
            "person": user,
            "link": link,
            "goes_by_mail": bool(user.email) and settings.PORTAL_SENDS_MAIL,
            "days": settings.PORTAL_ACCOUNT_CHANGE_PERIOD.days,
        }
        response = TemplateResponse(request, "admin/accounts/user/password_link.html", context)
        response.headers["Cache-Control"] = "no-store"
        return response

    def save_model(self, request: HttpRequest, obj: User, form: Any, change: bool) -> None:  # noqa: FBT001 - Django's call
        """Save the person; a changed mail address is reported to the old address too.

        A new person cannot sign in before a link was used.
        """
        if not change:
            obj.set_unusable_password()
        super().save_model(request, obj, form, change)
        if change and "email" in form.changed_data:
            author, before = Author.of(principal_of(request)), str(form.initial.get("email") or "")
            note_change(obj, ChangeKind.ADDRESS, author=author, now=timezone.now(), also_to=before)

    def get_queryset(self, request: HttpRequest) -> models.QuerySet[User]:
        return super().get_queryset(request).prefetch_related("role_assignments__department")

    @admin.display(description="Roles")
    def roles(self, user: User) -> str:
        """All roles in one line."""
        return ", ".join(map(str, user.role_assignments.all())) or "none"

    def save_formset(self, request: HttpRequest, form: Any, formset: Any, change: bool) -> None:  # noqa: FBT001 - Django's call
        """Grant and revoke roles, each with an audit entry."""
        super().save_formset(request, form, formset, change)
        for event, rows in (
            (Event.ROLE_GRANT, formset.new_objects),
            (Event.ROLE_REVOKE, formset.deleted_objects),
        ):
            for row in rows:
                department = department_ref(row.department)
                principal, now = principal_of(request), timezone.now()
                record_role(
                    event,
                    row.user,
                    Role(row.role),
                    principal=principal,
                    now=now,
                    department=department,
                )

    def log_addition(self, request: HttpRequest, obj: Any, message: Any) -> Any:
        """Write the audit entry besides Django's own note, in the transaction of the change."""
        _record(request, Event.USER_CREATE, obj, username=Personal(obj.username))
        return super().log_addition(request, obj, message)

    def log_change(self, request: HttpRequest, obj: Any, message: Any) -> Any:
        """As `log_addition`; names the changed fields without their values (personal data)."""
        _record(
            request,
            Event.USER_CHANGE,
            obj,
            changed=_changed_fields(message),
            is_active=obj.is_active,
        )
        return super().log_change(request, obj, message)


@admin.register(Department)
class DepartmentAdmin(AnyAdmin):
    """Departments; profiles and roles may be limited to one."""

    list_display = ("path", "slug")
    ordering = ("path",)

    def get_readonly_fields(
        self, request: HttpRequest, obj: Department | None = None
    ) -> tuple[str, ...]:
        """The slug cannot be changed: the log names it."""
        return ("slug",) if obj else ()

    def get_prepopulated_fields(
        self, request: HttpRequest, obj: Department | None = None
    ) -> dict[str, Sequence[str]]:
        return {} if obj else {"slug": ("name",)}


def _keep_an_administrator(user: User) -> None:
    """As `people.keep_an_administrator`, with a text for the form.

    Django's admin validates in the transaction that saves.
    """
    try:
        keep_an_administrator(user)
    except LastAdministrator as refusal:
        raise ValidationError(str(refusal)) from refusal


def _record(request: HttpRequest, event: Event, user: User, **data: object) -> None:
    subject = Subject.of("user", user.pk)
    record(event, actor=principal_of(request).actor, now=timezone.now(), subject=subject, data=data)


def _changed_fields(message: Any) -> list[str]:
    """The names of changed fields from Django's change message."""
    if not isinstance(message, list):
        return [str(message)] if message else []
    return sorted(
        {str(name) for part in message for name in part.get("changed", {}).get("fields", ())}
    )
