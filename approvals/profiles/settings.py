"""The table of settings of an enrollment profile: how each is called, and how it is written down.

The log, the versions of a profile, the admin form, `createprofile` and `docs/commands.md` read it.
A new setting is a field of the model with its migration, a row here, the place that reads it, and
its test.
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
    metavar: str | None = None
    least_one: bool = False


@dataclass(frozen=True, slots=True)
class Setting:
    """One setting: the field of the model, its words for people, and how records have it.

    Administrators change those with a section, of the profiles in their department.
    """

    field: str
    label: str
    help: str  # one or two sentences: under the field, in the documents and in `--help`
    section: str = ""  # of the admin form; empty: set elsewhere, or never after the creation
    key: str = ""  # in records, where it is not the field
    written: Callable[[Any], CanonicalValue] = str
    option: Option | None = None

    def value_of(self, profile: EnrollmentProfile) -> CanonicalValue:
        """Return the value of a profile as records have it."""
        return self.written(getattr(profile, self.field))

    @property
    def of_model(self) -> "models.Field[Any, Any]":
        """The field of the model: type, choices and default."""
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
    Setting("name", "Name", "What people read in place of the slug.", GENERAL),
    Setting(
        "department",
        "Department",
        (
            "Its officers decide, and its administrators change the profile; empty: those"
            " of the whole organization."
        ),
        GENERAL,
        written=slug,
    ),
    Setting(
        "owner",
        "Owner",
        "The person to ask about the profile; it gives them no rights.",
        GENERAL,
        written=lambda person: str(person.pk) if person else "",
    ),
    Setting(
        "is_default",
        "Default profile",
        "SCEP addresses that name no profile, such as /cgi-bin/pkiclient.exe, lead to this one.",
        GENERAL,
        written=as_is,
        option=Option("--default"),
    ),
    Setting("ca", "Authority", "The CA that issues.", ISSUED, written=name),
    Setting(
        "certificate_profile",
        "Certificate profile",
        "The rules for what certificates contain.",
        ISSUED,
        written=slug,
    ),
    Setting("approval", "Approval", "Who approves a first request.", DECIDES),
    Setting(
        "required_approvals",
        "Approvals needed",
        "How many different officers have to approve a request.",
        DECIDES,
        written=as_is,
    ),
    Setting(
        "allow_asserted_decisions",
        "Decisions by command",
        "Decisions by command, on behalf of an officer, count.",
        DECIDES,
        written=as_is,
    ),
    Setting(
        "refuse_after_account_change",
        "Refuse after a change of the account",
        (
            "Decisions are refused while they would be marked: soon after another person "
            "set the officer's password or granted a role."
        ),
        DECIDES,
        written=as_is,
        option=Option("--refuse-after-account-change"),
    ),
    Setting("challenge", "Challenge", "How a device shows that it may ask.", ASKS),
    Setting(
        "eligibility",
        "Expected devices",
        "Without a challenge: the expected devices; each enrolls once.",
        ASKS,
        key="devices",
        written=slug,
    ),
    Setting(
        "unlisted",
        "Devices that are not listed",
        "What a device gets that is not among the expected ones.",
        ASKS,
        option=Option("--unlisted"),
    ),
    Setting(
        "networks",
        "Networks",
        "Networks in CIDR form from which devices may ask; empty: from anywhere.",
        ASKS,
        written=words,
        option=Option("--network", "CIDR"),
    ),
    Setting(
        "on_duplicate",
        "Repeated request",
        "What a device gets that asks in a new transaction while its key has a valid certificate.",
        ASKS,
    ),
    Setting(
        "name_conflicts",
        "Names of another key",
        (
            "What a request gets for a name that waits, or is active, with another key. A"
            " renewal is no other key."
        ),
        ASKS,
        option=Option("--name-conflicts"),
    ),
    Setting(
        "renewal_mode",
        "Renewal",
        "Who approves a renewal, which a device asks for with its certificate.",
        RENEWAL,
        key="renewal",
        option=Option("--renewal"),
    ),
    Setting(
        "renewal_window",
        "Renewal window",
        "A certificate may be renewed so long before its end; 0: at any time.",
        RENEWAL,
        key="renewal_window_s",
        written=seconds,
        option=Option(
            "--renewal-window",
            "TIME",
        ),
    ),
    Setting(
        "renewal_grace",
        "Renewal grace",
        "A certificate may still be renewed so long after its end.",
        RENEWAL,
        key="renewal_grace_s",
        written=seconds,
        option=Option("--renewal-grace", "TIME"),
    ),
    Setting(
        "renewal_key_reuse",
        "Renewal with the same key",
        "A renewal may keep its key.",
        RENEWAL,
        written=as_is,
        option=Option("--renewal-key-reuse"),
    ),
    Setting(
        "renewal_changed_names",
        "Renewal with other names",
        "What a renewal gets that asks for other names.",
        RENEWAL,
        option=Option("--renewal-changed-names"),
    ),
    Setting(
        "ca_certificates",
        "Answer to GetCACert",
        "The certificates that GetCACert answers, in this order.",
        SCEP,
        option=Option("--ca-certificates"),
    ),
    Setting(
        "legacy_algorithms",
        "Legacy algorithms",
        "Messages may use SHA-1 and 3DES. For devices that know nothing else; never MD5 or DES.",
        SCEP,
        written=as_is,
        option=Option("--legacy-algorithms"),
    ),
    Setting(
        "reply_chain",
        "Certificates for the device",
        "What a device is handed with its certificate.",
        SCEP,
        option=Option("--reply-chain"),
    ),
    Setting(
        "empty_content",
        "Empty content",
        "How an answer without a certificate says so.",
        SCEP,
        option=Option("--empty-content"),
    ),
    Setting(
        "max_clock_skew",
        "Clock skew",
        "How far the signingTime of a message may be off; empty: it is not looked at.",
        SCEP,
        key="max_clock_skew_s",
        written=seconds,
        option=Option(
            "--max-clock-skew",
            "TIME",
            least_one=True,
        ),
    ),
    Setting(
        "request_ttl",
        "Time for a decision",
        "After this time without a decision a request expires.",
        TIMES,
        key="request_ttl_s",
        written=seconds,
    ),
    Setting(
        "refused_ttl",
        "Time after a refusal",
        "After a refusal, the same transaction may ask again after this time.",
        TIMES,
        key="refused_ttl_s",
        written=seconds,
    ),
    Setting(
        "undo_window",
        "Undo window",
        "A decision takes effect after this time, and can be taken back until then.",
        key="undo_window_s",
        written=seconds,
    ),
    Setting(
        "max_open_requests",
        "Open requests",
        "So many requests of the profile may be open at a time.",
        LIMITS,
        written=as_is,
    ),
    Setting(
        "max_open_per_address",
        "Open requests of an address",
        "So many requests from one address may be open at a time.",
        LIMITS,
        written=as_is,
    ),
    Setting(
        "max_failed_per_address",
        "Failed challenges of an address",
        "So many failed challenges of one address in 10 minutes lock it for 15; 0: never.",
        GUESSED,
        written=as_is,
        option=Option(
            "--max-failed-per-address",
            "N",
        ),
    ),
    Setting(
        "max_failed_challenges",
        "Failed challenges",
        (
            "So many failed challenges in 10 minutes, of all addresses, lock the profile "
            "for challenges that could be guessed; many failures of others raise an "
            "alarm. 0: never."
        ),
        GUESSED,
        written=as_is,
        option=Option(
            "--max-failed",
            "N",
        ),
    ),
    Setting(
        "lock_exempt_networks",
        "Networks that are never locked",
        "Networks in CIDR form that are never locked, as that of an MDM's proxy.",
        GUESSED,
        written=words,
        option=Option(
            "--never-lock",
            "CIDR",
        ),
    ),
)


def settings_of(profile: EnrollmentProfile) -> dict[str, CanonicalValue]:
    """Return every setting of a profile as records have it; no secret is among them."""
    mark = {"for_self_test": True} if profile.for_self_test else {}
    return {setting.key or setting.field: setting.value_of(profile) for setting in SETTINGS} | mark


def setting_of(field: str) -> Setting:
    """Return the row of a field of the model. Raises LookupError for a field without one."""
    for setting in SETTINGS:
        if setting.field == field:
            return setting
    raise LookupError(f"{field}: the table of settings has no row for it")


def fields_of(section: str) -> tuple[str, ...]:
    """Return the fields that the admin form shows in this section, in order."""
    return tuple(setting.field for setting in SETTINGS if setting.section == section)


def profile_facts(profile: EnrollmentProfile) -> dict[str, object]:
    """Return what the log says of a profile: its version, and every setting."""
    return {"version": profile.version, **settings_of(profile)}
