"""The command that makes triggers again does not stop at their absence."""

import pytest
from django.core.checks import run_checks
from django.core.management import CommandError, call_command

from tests.conftest import drop_triggers


def test_migrate_runs_where_triggers_are_missing_and_makes_them_again(db: None) -> None:
    drop_triggers()
    with pytest.raises(CommandError, match=r"audit\.E001"):
        call_command("check", databases=["default"])
    call_command("migrate", verbosity=0, skip_checks=False)
    assert run_checks(databases=["default"], tags=["database"]) == []
