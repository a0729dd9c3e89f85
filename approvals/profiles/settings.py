"""The table of settings of an enrollment profile: how each is called, and how it is written down.

The log, the versions of a profile, the admin form and `createprofile` read it. A new setting is a
field of the model with its migration, a row here, the place that reads it, its test and its line in
the documents.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final

from django.db import models

from approvals.models.profiles import EnrollmentProfile
from audit.canonical import CanonicalValue


def as_is(value: Any) -> CanonicalValue:
    """A number, or a mark."""
    return value  # type: ignore[no-any-return]


def seconds(value: timedelta | None) -> CanonicalValue:
    """A time in whole seconds; none stays none."""
    return None if value is None else int(value.total_seconds())


def words(value: Any) -> CanonicalValue:
    """A list of words."""
    return list(value)


def slug(value: Any) -> CanonicalValue:
    """Another row by its slug; empty without one."""
    return value.slug if value else ""


def name(value: Any) -> CanonicalValue:
    """Another row by its name."""
    return str(value.name)


@dataclass(frozen=True, slots=True)
class Option:
    """The option of `createprofile` for a setting; its type follows from the field of the model.

    `least_one` refuses a time of zero.
    """

    flag: str
    help: str
    metavar: str | None = None
    least_one: bool = False


@dataclass(frozen=True, slots=True)
class Setting:
    """One setting: the field of the model, its name in records, and how its value is written."""

    field: str
    section: str = ""  # of the admin form; empty: set elsewhere, or never after the creation
    key: str = ""  # in records, where it is not the field
    written: Callable[[Any], CanonicalValue] = str
    option: Option | None = None

    def value_of(self, profile: EnrollmentProfile) -> CanonicalValue:
        """Return the value of a profile as records have it."""
        return self.written(getattr(profile, self.field))

    @property
    def of_model(self) -> "models.Field[Any, Any]":
        """The field of the model: type, choices, default, and the label and help of the form."""
        field = EnrollmentProfile._meta.get_field(self.field)  # noqa: SLF001 - Django's documented name
        assert isinstance(field, models.Field)  # noqa: S101 - for the type: settings are columns
        return field


GENERAL: Final = "General"
ISSUED: Final = "What is issued"
DECIDES: Final = "Who decides"
ASKS: Final = "Who may ask"
RENEWAL: Final = "Renewal"
SCEP: Final = "SCEP"
TIMES: Final = "Times"
LIMITS: Final = "Limits"
GUESSED: Final = "Guessed challenges"

#: In the order of the admin form.
SECTIONS: Final = (GENERAL, ISSUED, DECIDES, ASKS, RENEWAL, SCEP, TIMES, LIMITS, GUESSED)

SETTINGS: Final = (
    Setting("name", GENERAL),
    Setting("department", GENERAL, written=slug),
    Setting("owner", GENERAL, written=lambda person: str(person.pk) if person else ""),
    Setting(
        "is_default",
        GENERAL,
        written=as_is,
        option=Option("--default", "SCEP addresses that name no profile lead to this one"),
    ),
    Setting("ca", ISSUED, written=name),
    Setting("certificate_profile", ISSUED, written=slug),
    Setting("approval", DECIDES),
    Setting("required_approvals", DECIDES, written=as_is),
    Setting("allow_asserted_decisions", DECIDES, written=as_is),
    Setting(
        "refuse_after_account_change",
        DECIDES,
        written=as_is,
        option=Option(
            "--refuse-after-account-change",
            "refuse decisions soon after another person set the officer's password "
            "or granted a role",
        ),
    ),
    Setting("challenge", ASKS),
    Setting("eligibility", ASKS, key="devices", written=slug),
    Setting("unlisted", ASKS, option=Option("--unlisted", "what others get (refuse)")),
    Setting("networks", ASKS, written=words, option=Option("--network", "may be repeated", "CIDR")),
    Setting("on_duplicate", ASKS),
    Setting(
        "name_conflicts",
        ASKS,
        option=Option(
            "--name-conflicts",
            "what a name gets that waits, or is active, with another key (officer)",
        ),
    ),
    Setting(
        "renewal_mode",
        RENEWAL,
        key="renewal",
        option=Option("--renewal", "who says yes when a device renews with its certificate (off)"),
    ),
    Setting(
        "renewal_window",
        RENEWAL,
        key="renewal_window_s",
        written=seconds,
        option=Option(
            "--renewal-window",
            "how long before the end of a certificate it may be renewed, as 30d; "
            "0: at any time (30d)",
            "TIME",
        ),
    ),
    Setting(
        "renewal_grace",
        RENEWAL,
        key="renewal_grace_s",
        written=seconds,
        option=Option(
            "--renewal-grace", "how long after its end it may still be renewed, as 7d (0)", "TIME"
        ),
    ),
    Setting(
        "renewal_key_reuse",
        RENEWAL,
        written=as_is,
        option=Option("--renewal-key-reuse", "a renewal may keep its key"),
    ),
    Setting(
        "renewal_changed_names",
        RENEWAL,
        option=Option(
            "--renewal-changed-names", "what a renewal gets that asks for other names (refuse)"
        ),
    ),
    Setting(
        "ca_certificates",
        SCEP,
        option=Option("--ca-certificates", "what GetCACert answers, in this order (ra+chain)"),
    ),
    Setting(
        "legacy_algorithms",
        SCEP,
        written=as_is,
        option=Option(
            "--legacy-algorithms", "accept SHA-1 and 3DES; never MD5 or DES (SHA-2 and AES only)"
        ),
    ),
    Setting(
        "reply_chain",
        SCEP,
        option=Option(
            "--reply-chain",
            "what devices are handed: their certificate, or that and its CAs (leaf)",
        ),
    ),
    Setting(
        "empty_content",
        SCEP,
        option=Option("--empty-content", "how an answer without a certificate says so (octets)"),
    ),
    Setting(
        "max_clock_skew",
        SCEP,
        key="max_clock_skew_s",
        written=seconds,
        option=Option(
            "--max-clock-skew",
            "how far the clock of a device may be off, as 10m; without it "
            "signingTime is not looked at",
            "TIME",
            least_one=True,
        ),
    ),
    Setting("request_ttl", TIMES, key="request_ttl_s", written=seconds),
    Setting("refused_ttl", TIMES, key="refused_ttl_s", written=seconds),
    Setting("undo_window", key="undo_window_s", written=seconds),
    Setting("max_open_requests", LIMITS, written=as_is),
    Setting("max_open_per_address", LIMITS, written=as_is),
    Setting(
        "max_failed_per_address",
        GUESSED,
        written=as_is,
        option=Option(
            "--max-failed-per-address",
            "failed challenges in 10 minutes that lock an address for 15; 0: never (20)",
            "N",
        ),
    ),
    Setting(
        "max_failed_challenges",
        GUESSED,
        written=as_is,
        option=Option(
            "--max-failed",
            "the same of all addresses together; then the profile is locked (500)",
            "N",
        ),
    ),
    Setting(
        "lock_exempt_networks",
        GUESSED,
        written=words,
        option=Option(
            "--never-lock",
            "network that is never locked, as that of an MDM's proxy; may be repeated",
            "CIDR",
        ),
    ),
)


def settings_of(profile: EnrollmentProfile) -> dict[str, CanonicalValue]:
    """Return every setting of a profile as records have it; no secret is among them."""
    mark = {"for_self_test": True} if profile.for_self_test else {}
    return {setting.key or setting.field: setting.value_of(profile) for setting in SETTINGS} | mark


def fields_of(section: str) -> tuple[str, ...]:
    """Return the fields that the admin form shows in this section, in order."""
    return tuple(setting.field for setting in SETTINGS if setting.section == section)


def profile_facts(profile: EnrollmentProfile) -> dict[str, object]:
    """Return what the log says of a profile: its version, and every setting."""
    return {"version": profile.version, **settings_of(profile)}
