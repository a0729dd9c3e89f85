"""The database roles: no role changes the log, the web no certificates, auditors nothing."""

from collections.abc import Mapping
from typing import Final

from django.apps import apps
from django.conf import settings

WEB, SIGNER, AUDITOR, MIGRATE = "pki_web", "pki_signer", "pki_auditor", "pki_migrate"

_READ: Final = "SELECT"
_APPEND: Final = "SELECT, INSERT"
_EDIT: Final = "SELECT, INSERT, UPDATE"
_ALL: Final = "SELECT, INSERT, UPDATE, DELETE"
_PROGRESS: Final = (
    "state, version, round, expires_at, decided_at, effective_at, reason, next_attempt_at, "
    "lease_until, attempts, "
    "quarantined_at, last_fault, finished_at, status_token_sha256"
)
_COLUMNS_OF_PERSON: Final = "SELECT (id, username, full_name, is_active)"

#: Permissions of each role on a table; a role that is not named has none.
RIGHTS: Final[Mapping[str, Mapping[str, str]]] = {
    "audit_auditentry": {WEB: _APPEND, SIGNER: _APPEND, AUDITOR: _READ},
    "audit_auditprivatevalue": {WEB: _APPEND, SIGNER: _APPEND, AUDITOR: _READ},
    "audit_repeatedevent": {WEB: _ALL, SIGNER: _ALL, AUDITOR: _READ},
    "ca_certificateauthority": {
        WEB: f"{_READ}, UPDATE (paused_at, revocation_version)",
        SIGNER: f"{_APPEND}, UPDATE (paused_at, revocation_version)",
        AUDITOR: _READ,
    },
    "ca_certificateprofile": {WEB: _EDIT, SIGNER: _READ, AUDITOR: _READ},
    "ca_certificateprofileversion": {WEB: _APPEND, SIGNER: _READ, AUDITOR: _READ},
    "ca_certificate": {
        WEB: f"{_READ}, UPDATE (status, revoked_at, revocation_reason, invalidity_date)",
        SIGNER: f"{_APPEND}, UPDATE (status, der, der_sha256, issued_at)",
        AUDITOR: _READ,
    },
    "ca_blockedkey": {WEB: "SELECT, INSERT, DELETE", SIGNER: _READ, AUDITOR: _READ},
    "ca_crlissue": {
        WEB: _READ,
        SIGNER: f"{_APPEND}, UPDATE (tbs_sha256, der, sha256, pruned_at)",
        AUDITOR: _READ,
    },
    "ca_certificateterm": {WEB: _READ, SIGNER: _APPEND, AUDITOR: _READ},
    "ca_servicekey": {
        WEB: f"{_APPEND}, UPDATE (retired_at)",
        SIGNER: f"{_APPEND}, UPDATE (certificate_id)",
        AUDITOR: _READ,
    },
    "ca_authorityrollover": {
        WEB: f"{_READ}, UPDATE (switched_at)",
        SIGNER: f"{_APPEND}, UPDATE (published_at, cancelled_at)",
        AUDITOR: _READ,
    },
    "ca_nextcaanswer": {WEB: _READ, SIGNER: _APPEND, AUDITOR: _READ},
    "approvals_enrollmentprofile": {
        WEB: _EDIT,
        SIGNER: _READ,
        AUDITOR: "SELECT (id, slug, name, ca_id, department_id)",
    },
    "approvals_enrollmentprofileversion": {WEB: _APPEND, SIGNER: _READ, AUDITOR: _READ},
    "approvals_challengepassword": {
        WEB: f"{_APPEND}, UPDATE (redeemed_at, redeemed_by_id, withdrawn_at, withdrawn_by_id, "
        "status_token_sha256)"
    },
    "approvals_staticchallenge": {
        WEB: f"{_APPEND}, UPDATE (retires_at, reminded_at)",
        SIGNER: "SELECT (id, profile_id, created_at, created_by_id, created_by_name, origin, "
        "retires_at, reminded_at), "
        "UPDATE (reminded_at)",
    },
    "approvals_devicegroup": {WEB: _APPEND, SIGNER: _READ, AUDITOR: _READ},
    "approvals_expecteddevice": {WEB: _ALL, SIGNER: _READ, AUDITOR: _READ},
    "approvals_alarm": {WEB: _EDIT, SIGNER: _EDIT, AUDITOR: _READ},
    "approvals_failedchallenges": {WEB: _ALL, SIGNER: "SELECT, DELETE"},
    "approvals_staticuse": {WEB: _APPEND},
    "approvals_ndesaccount": {WEB: _EDIT},
    "approvals_ndeschallenge": {WEB: _APPEND},
    "approvals_apiorder": {WEB: _APPEND},
    "approvals_apichallenge": {WEB: _APPEND},
    "approvals_enrollmentrequest": {
        WEB: f"{_APPEND}, UPDATE ({_PROGRESS})",
        SIGNER: f"{_READ}, UPDATE ({_PROGRESS}, certificate_id)",
        AUDITOR: _READ,
    },
    "approvals_requestterm": {WEB: _APPEND, SIGNER: _READ, AUDITOR: _READ},
    "approvals_requestname": {WEB: _APPEND, SIGNER: _READ, AUDITOR: _READ},
    "approvals_enrollmenttransaction": {
        WEB: f"{_APPEND}, UPDATE (request_id)",
        SIGNER: _READ,
        AUDITOR: _READ,
    },
    "approvals_decision": {WEB: _APPEND, SIGNER: _READ, AUDITOR: _READ},
    "approvals_decisionbatch": {
        WEB: f"{_APPEND}, UPDATE (done, exceptions, reason)",
        SIGNER: _READ,
        AUDITOR: _READ,
    },
    "approvals_decisioncomment": {WEB: _APPEND, SIGNER: _READ, AUDITOR: _READ},
    "approvals_keptcsr": {WEB: "SELECT, INSERT, UPDATE, DELETE", SIGNER: "SELECT, DELETE"},
    "approvals_validationservice": {
        WEB: _EDIT,
        AUDITOR: "SELECT (profile_id, kind, url, tenant, client_id, reports)",
    },
    "approvals_validation": {WEB: _EDIT, SIGNER: _READ, AUDITOR: _READ},
    "approvals_refusalnumber": {WEB: _APPEND, SIGNER: _APPEND, AUDITOR: _READ},
    "approvals_pollrecord": {WEB: _EDIT, SIGNER: _READ, AUDITOR: _READ},
    "approvals_outboxmessage": {WEB: _EDIT, SIGNER: _EDIT, AUDITOR: _READ},
    "approvals_lease": {WEB: _EDIT, SIGNER: _EDIT},
    "approvals_pulse": {WEB: _ALL, SIGNER: _ALL},
    "approvals_secretfingerprint": {WEB: _EDIT, SIGNER: _EDIT},
    "exchanges_exchange": {WEB: _ALL, AUDITOR: _READ},
    "exchanges_recording": {WEB: _EDIT, AUDITOR: _READ},
    "selftest_selftestrun": {WEB: _ALL, AUDITOR: _READ},
    "selftest_selfteststep": {WEB: _ALL, AUDITOR: _READ},
    "accounts_user": {WEB: _EDIT, AUDITOR: _COLUMNS_OF_PERSON},
    "accounts_department": {WEB: _EDIT, SIGNER: _READ, AUDITOR: _READ},
    "accounts_roleassignment": {WEB: _ALL, AUDITOR: _READ},
    "accounts_apitoken": {WEB: _EDIT},
    "accounts_passwordlink": {WEB: f"{_APPEND}, UPDATE (used_at, withdrawn_at)"},
    "accounts_accountchange": {WEB: f"{_APPEND}, UPDATE (shown_at)", AUDITOR: _READ},
    "accounts_accountnotice": {WEB: _ALL},
    "accounts_tries": {WEB: _ALL, SIGNER: "SELECT, DELETE"},
    "accounts_session": {WEB: _ALL},
    "account_emailaddress": {WEB: _ALL},
    "account_emailconfirmation": {WEB: _ALL},
    "auth_permission": {WEB: _READ},
    "auth_group": {WEB: _READ},
    "auth_group_permissions": {WEB: _READ},
    "django_content_type": {WEB: _READ, SIGNER: _READ},
    "django_migrations": {WEB: _READ, SIGNER: _READ},
    "django_admin_log": {WEB: _APPEND},
    "django_session": {WEB: _ALL},
}


def tables() -> list[str]:
    """Return all tables of this version, in a fixed order."""
    models = apps.get_models(include_auto_created=True)
    cache = str(settings.CACHES["default"].get("LOCATION", ""))
    return sorted({model._meta.db_table for model in models} | {"django_migrations", cache} - {""})  # noqa: SLF001 - Django's documented name


def rights_of(table: str) -> Mapping[str, str]:
    """Return the permissions of each role. Raises LookupError for an unknown table."""
    if table == settings.CACHES["default"].get("LOCATION"):
        return {WEB: _ALL}
    try:
        return RIGHTS[table]
    except KeyError:
        raise LookupError(
            f"table {table}: no rights are defined, add them to {__name__}.RIGHTS"
        ) from None


def statements() -> list[str]:
    """Return the SQL, without semicolons; running it again changes nothing."""
    roles = f"{WEB}, {SIGNER}, {AUDITOR}"
    lines = [
        f"DO $$ BEGIN CREATE ROLE {role} NOLOGIN; EXCEPTION WHEN duplicate_object THEN NULL; END $$"
        for role in (WEB, SIGNER, AUDITOR, MIGRATE)
    ]
    lines += [
        "REVOKE CREATE ON SCHEMA public FROM PUBLIC",
        f"GRANT USAGE ON SCHEMA public TO {roles}",
        f"GRANT USAGE, CREATE ON SCHEMA public TO {MIGRATE}",
    ]
    for table in tables():
        lines += [
            f"ALTER TABLE {table} OWNER TO {MIGRATE}",
            f"REVOKE ALL ON {table} FROM PUBLIC, {roles}",
            *(f"GRANT {rights} ON {table} TO {role}" for role, rights in rights_of(table).items()),
        ]
    return lines
