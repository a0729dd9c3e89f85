"""People: users, their roles, and the departments that limit the roles."""

from typing import Any, ClassVar

from django.contrib.auth.base_user import AbstractBaseUser, BaseUserManager
from django.contrib.auth.validators import UnicodeUsernameValidator
from django.db import models
from django.utils import timezone

from accounts.models.changes import (
    AccountChange,
    AccountNotice,
    ChangeKind,
    LinkDelivery,
    PasswordLink,
)
from accounts.models.departments import Department, department_ref
from accounts.models.sessions import StoredSession
from accounts.roles import ADMIN_PERMISSIONS, Role
from database.ids import uuid7

__all__ = [
    "AccountChange",
    "AccountNotice",
    "ApiToken",
    "ChangeKind",
    "Department",
    "LinkDelivery",
    "PasswordLink",
    "RoleAssignment",
    "StoredSession",
    "User",
    "UserManager",
    "department_ref",
]


class UserManager(BaseUserManager["User"]):
    """Creates users. There are no superusers; roles are granted one by one."""

    def create_user(
        self, username: str, *, email: str = "", password: str | None = None, **fields: Any
    ) -> "User":
        """Create a user without any role. A user without a password cannot sign in with one."""
        user = self.model(username=username, email=self.normalize_email(email), **fields)
        user.set_password(password)
        user.save(using=self._db)
        return user


class User(AbstractBaseUser):
    """A person who signs in.

    Ask `accounts.permissions.can` for permissions, never a flag of this model.
    """

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    username = models.CharField(
        max_length=150,
        unique=True,
        validators=[UnicodeUsernameValidator()],
        error_messages={"unique": "A user with that name exists already."},
    )
    full_name = models.CharField(max_length=150, blank=True)
    email = models.EmailField(blank=True)
    is_active = models.BooleanField(
        default=True, help_text="Switch off instead of deleting: decisions name their officer."
    )
    date_joined = models.DateTimeField(default=timezone.now)

    objects = UserManager()

    USERNAME_FIELD = "username"
    EMAIL_FIELD = "email"
    REQUIRED_FIELDS: ClassVar[list[str]] = []

    def __str__(self) -> str:
        return self.full_name or self.username

    def get_full_name(self) -> str:
        return self.full_name or self.username

    def get_short_name(self) -> str:
        return self.username

    @property
    def is_staff(self) -> bool:
        """Whether the person may use the admin: only administrators of the whole organization.

        An administrator who grants roles could grant every role.
        """
        own = self.role_assignments.filter(role=Role.ADMINISTRATOR, department__isnull=True)
        return self.is_active and own.exists()

    def has_perm(self, permission: str, obj: object = None) -> bool:
        """Answer Django's admin: for administrators, the permissions in `ADMIN_PERMISSIONS`."""
        return permission in ADMIN_PERMISSIONS and self.is_staff

    def has_perms(self, permissions: list[str], obj: object = None) -> bool:
        return all(self.has_perm(permission, obj) for permission in permissions)

    def has_module_perms(self, app_label: str) -> bool:
        return self.is_staff


class RoleAssignment(models.Model):
    """One role of one user; with a department it counts only there."""

    user = models.ForeignKey(User, on_delete=models.CASCADE, related_name="role_assignments")
    role = models.CharField(max_length=20, choices=Role.choices)
    department = models.ForeignKey(Department, on_delete=models.PROTECT, null=True, blank=True)
    granted_at = models.DateTimeField(default=timezone.now)

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["user", "role", "department"], name="accounts_role_once"
            ),
            models.UniqueConstraint(
                fields=["user", "role"],
                condition=models.Q(department__isnull=True),
                name="accounts_role_everywhere_once",
            ),
            models.CheckConstraint(
                condition=models.Q(role__in=Role.values), name="accounts_role_known"
            ),
        ]

    def __str__(self) -> str:
        where = f" ({self.department})" if self.department else ""
        return f"{self.get_role_display()}{where}"


class ApiToken(models.Model):
    """A program's credential. It never grants more than its owner may do at that moment.

    `prefix` finds the row and appears in logs; only the digest of the secret part is stored. Tokens
    are revoked, never deleted.
    """

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    owner = models.ForeignKey(User, on_delete=models.PROTECT, related_name="api_tokens")
    name = models.CharField(max_length=100)
    prefix = models.CharField(max_length=16, unique=True)
    digest = models.CharField(max_length=64)  # SHA-256, hex: the secret has 160 random bits
    scopes = models.JSONField()  # verbs
    department = models.ForeignKey(
        Department, on_delete=models.PROTECT, null=True
    )  # NULL: in every department of the owner
    profiles = models.JSONField(
        default=list
    )  # slugs of enrollment profiles; empty: all profiles of the owner
    networks = models.JSONField(default=list)  # CIDR; empty: from anywhere
    created_at = models.DateTimeField()
    expires_at = models.DateTimeField()
    last_used_at = models.DateTimeField(null=True)  # to the minute
    revoked_at = models.DateTimeField(null=True)

    class Meta:
        constraints = [
            models.CheckConstraint(
                condition=models.Q(expires_at__gt=models.F("created_at")),
                name="accounts_token_ends_after_it_begins",
            )
        ]
        indexes = [models.Index(fields=["owner", "id"], name="accounts_token_by_owner")]

    def __str__(self) -> str:
        return f"{self.name} ({self.prefix})"


class Tries(models.Model):
    """Counts recent attempts that may fail, such as passwords (`accounts.sign_in.throttle`)."""

    key = models.CharField(max_length=64, unique=True)  # SHA-256 of the thing that is counted
    number = models.PositiveIntegerField()
    since = models.DateTimeField(db_index=True)
    free_at = models.DateTimeField(null=True)  # end of a pause

    class Meta:
        verbose_name_plural = "tries"

    def __str__(self) -> str:
        return f"{self.number} tries"
