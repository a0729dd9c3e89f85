"""Documented command lines that other tests run than `test_documented_commands.py`."""

from collections.abc import Mapping
from typing import Final

_UP: Final = "tests/pkiportal/test_up.py::test_one_command_serves_and_one_key_stops_it"
_LAUNCHER: Final = "tests/pkiportal/test_launcher.py::test_a_given_number_of_test_processes_stands"
_STRONGSWAN: Final = (
    "tests/interop/test_strongswan.py::test_it_sorts_root_issuing_ca_and_ra_by_itself"
)
_RENEWS: Final = (
    "tests/interop/test_strongswan.py::"
    "test_it_renews_with_its_certificate_and_a_new_key_without_a_challenge"
)
_CERTMONGER: Final = (
    "tests/interop/test_configurations.py::"
    "test_certmonger_waits_and_gets_its_certificate_with_the_text_of_the_page"
)
_OWN_CERTMONGER: Final = (
    "tests/interop/test_certmonger.py::"
    "test_it_gets_its_certificate_at_the_refresh_after_an_approval_in_a_browser"
)
_SSCEP: Final = "by hand: Debian has no package of sscep"
_FUZZ: Final = "tests/fuzz/test_fuzz.py::test_the_command_runs_through_the_door_reports_and_replays"
_ATTACK: Final = (
    "tests/attack/test_attack.py::test_over_http_the_answer_is_taken_apart_for_a_person"
)
_PARTS: Final = (
    "tests/flows/test_documented_installations.py::test_the_parts_one_by_one_are_those_of_up"
)
_SERVER: Final = (
    "tests/flows/test_documented_installations.py::test_a_new_database_server_is_set_up"
)
_BACKUP: Final = (
    "tests/flows/test_documented_installations.py::test_a_backup_is_made_restored_and_checked"
)
_CRL: Final = "tests/interop/test_documented_clients.py::test_a_crl_is_fetched_and_used"
_MUTATION: Final = "by hand: a mutation run takes hours"
_LOCKS: Final = "by hand: it needs a package index, and the locks change by it"

#: (document, how the line begins): the test that runs it, `.ci/run`, or why a person does.
ELSEWHERE: Final[Mapping[tuple[str, str], str]] = {
    (
        "README.md",
        "git clone",
    ): "tests/flows/test_documented_installations.py::test_the_repository_is_cloned",
    ("README.md", "./portal up "): _UP,
    ("README.md", "./portal test "): ".ci/run",
    ("README.md", "./portal demo"): (
        "tests/interop/test_own_client.py"
        "::test_the_demo_waits_for_an_officer_checks_the_chain_and_keeps_key_and_certificate"
    ),
    ("README.md", "openssl genrsa"): _STRONGSWAN,
    ("README.md", "pki --scepca"): _STRONGSWAN,
    ("README.md", "pki --scep "): _STRONGSWAN,
    ("CONTRIBUTING.md", "./portal test "): _LAUNCHER,
    ("CONTRIBUTING.md", "PORTAL_TEST_DATABASE_URL="): ".ci/run",
    ("CONTRIBUTING.md", "./portal interop"): ".ci/run",
    ("CONTRIBUTING.md", "python -m tests.chaos --database postgresql"): ".ci/run",
    ("CONTRIBUTING.md", "python -m tests.slow --postgresql"): ".ci/run",
    ("CONTRIBUTING.md", "./portal fuzz --minutes"): _FUZZ,
    (
        "CONTRIBUTING.md",
        "./portal attack URL --list",
    ): "tests/attack/test_attack.py::test_the_list_names_every_flag_with_its_attack",
    ("CONTRIBUTING.md", "./portal bench"): ".ci/run",
    (
        "CONTRIBUTING.md",
        "python -m tests.mutation",
    ): "by hand: each documented rule broken takes an hour",
    ("CONTRIBUTING.md", "cosmic-ray init"): _MUTATION,
    ("CONTRIBUTING.md", "cr-filter-operators"): _MUTATION,
    ("CONTRIBUTING.md", "cosmic-ray exec"): _MUTATION,
    ("CONTRIBUTING.md", ".venv/bin/ruff check"): ".ci/run",
    ("CONTRIBUTING.md", ".venv/bin/mypy"): ".ci/run",
    ("CONTRIBUTING.md", ".venv/bin/lint-imports"): ".ci/run",
    ("CONTRIBUTING.md", ".venv/bin/djlint"): ".ci/run",
    ("CONTRIBUTING.md", "uv pip compile"): _LOCKS,
    (
        "docs/api.md",
        "curl",
    ): "tests/interop/test_rest.py::test_a_program_orders_a_challenge_and_sees_the_certificate",
    ("docs/internals/attacks.md", "./portal attack http://127.0.0.1:8000/scep/routers/ --list"): (
        "tests/attack/test_attack.py::test_the_list_names_every_flag_with_its_attack"
    ),
    (
        "docs/internals/attacks.md",
        "./portal attack http://127.0.0.1:8000/scep/routers/ --message-type",
    ): _ATTACK,
    (
        "docs/internals/attacks.md",
        "./portal attack URL --digest",
    ): "tests/attack/test_attack.py::test_deviations_add_up_in_their_order",
    ("docs/internals/attacks.md", "./portal attack URL --timing"): _ATTACK,
    ("docs/internals/attacks.md", "./portal fuzz"): _FUZZ,
    ("docs/devices/clients.md", "pki --scepca"): _STRONGSWAN,
    ("docs/devices/clients.md", "pki --gen"): _STRONGSWAN,
    ("docs/devices/clients.md", "pki --scep "): _STRONGSWAN,
    ("docs/devices/clients.md", "getcert add-scep-ca"): _CERTMONGER,
    ("docs/devices/clients.md", "getcert request"): _CERTMONGER,
    ("docs/devices/clients.md", "getcert list -i"): _CERTMONGER,
    ("docs/devices/clients.md", "getcert refresh"): _CERTMONGER,
    ("docs/devices/clients.md", "mkdir requests"): _OWN_CERTMONGER,
    ("docs/devices/clients.md", "export CERTMONGER_"): _OWN_CERTMONGER,
    ("docs/devices/clients.md", "certmonger -n"): _OWN_CERTMONGER,
    ("docs/devices/clients.md", "getcert list"): _OWN_CERTMONGER,
    ("docs/devices/clients.md", "sscep"): _SSCEP,
    ("docs/commands.md", "./portal up "): _UP,
    (
        "docs/commands.md",
        "./portal doctor ",
    ): "tests/pkiportal/test_doctor.py::test_an_installation_in_order_has_no_fault",
    (
        "docs/commands.md",
        "./portal seed ",
    ): "tests/pkiportal/test_commands_all.py::test_seeded_rows_are_real_and_marked",
    ("docs/commands.md", "./portal bench "): ".ci/run",
    (
        "docs/mdm.md",
        "openssl rand",
    ): "tests/interop/test_documented_clients.py::test_openssl_makes_a_secret_for_a_webhook",
    (
        "docs/operations.md",
        "./portal up --bind",
    ): "tests/pkiportal/test_parts.py::test_with_tls_devices_may_be_served_without",
    ("docs/operations.md", "createuser"): _SERVER,
    ("docs/operations.md", "createdb"): _SERVER,
    ("docs/operations.md", "export DATABASE_URL"): _SERVER,
    ("docs/operations.md", "./portal migrate"): _SERVER,
    ("docs/operations.md", "./portal grants |"): _SERVER,
    ("docs/operations.md", "psql"): _SERVER,
    ("docs/operations.md", "PORTAL_PROCESS="): _PARTS,
    ("docs/operations.md", "umask"): _BACKUP,
    ("docs/operations.md", "python3 -c"): _BACKUP,
    ("docs/operations.md", "pg_dump"): _SERVER,
    ("docs/operations.md", "cp backup"): _BACKUP,
    ("docs/operations.md", "tar -C"): _BACKUP,
    ("docs/operations.md", "./portal collectstatic"): _BACKUP,
    ("docs/operations.md", "./portal doctor --data"): _BACKUP,
    ("docs/operations.md", "./portal check_invariants --data"): _BACKUP,
    ("docs/operations.md", "./portal up --data"): _UP,
    ("docs/devices/renewal.md", "pki --gen"): _RENEWS,
    ("docs/devices/renewal.md", "pki --scep "): _RENEWS,
    ("docs/devices/renewal.md", "sscep"): _SSCEP,
    ("docs/revocation.md", "curl"): _CRL,
    ("docs/revocation.md", "openssl crl"): _CRL,
    ("docs/revocation.md", "openssl verify"): _CRL,
}
