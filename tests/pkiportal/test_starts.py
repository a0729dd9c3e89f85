"""The start of a process, before its work."""

import tomllib
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings
from django.db import DatabaseError

from audit.models import AuditEntry
from ca.authorities.checks import readable_keys
from pkiportal.runtime import starts
from tests.world import now


def test_a_web_process_that_can_read_a_ca_key_does_not_start(
    settings: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(starts.EMBEDDED, raising=False)
    settings.CA_KEY_FOLDER = tmp_path
    starts.refuse_readable_ca_keys()
    (tmp_path / "issuing.pem").write_text("a key")
    with pytest.raises(SystemExit, match="the web process can read this CA key"):
        starts.refuse_readable_ca_keys()
    monkeypatch.setenv(starts.EMBEDDED, "1")
    starts.refuse_readable_ca_keys()


def test_a_folder_that_may_not_be_looked_into_holds_no_readable_key(tmp_path: Path) -> None:
    assert readable_keys(tmp_path / "none") == []


def test_each_start_leaves_version_and_digest_of_the_settings(db: None) -> None:
    starts.note_start("web", now=now())
    entry = AuditEntry.objects.get(event="process:start")
    assert entry.data["version"] == settings.PORTAL_VERSION
    assert entry.data["settings_sha256"] == starts.settings_digest(starts.plain_settings())


def test_a_start_without_a_database_is_logged_and_goes_on(
    db: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise DatabaseError("away")

    monkeypatch.setattr(starts, "record", refuse)
    starts.note_start("web", now=now())


def test_no_secret_is_among_the_settings_of_the_digest() -> None:
    text = repr(starts.plain_settings())
    for secret in (
        settings.SECRET_KEY,
        settings.CA_PASSPHRASE().decode(),
        settings.CHALLENGE_KEY().decode(),
    ):
        assert secret not in text
    assert starts.settings_digest({"a": "1"}) != starts.settings_digest({"a": "2"})


def test_the_version_is_the_one_of_the_package() -> None:
    project = tomllib.loads((Path(settings.BASE_DIR) / "pyproject.toml").read_text())
    assert project["project"]["version"] == settings.PORTAL_VERSION
