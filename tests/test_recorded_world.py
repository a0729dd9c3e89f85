"""The world that is played back is the one that was built."""

import shutil
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import time_machine
from django.apps import apps
from django.conf import LazySettings
from django.db import connection, transaction

from ca.models.authorities import CertificateAuthority
from ca.signing.authorities import open_key
from pkiportal.doctor.invariants import check_invariants
from scep.ra.keys import ra_keys
from tests.recorded_world import RECORDING_SECONDS, RecordedWorld
from tests.world import World, create_person, create_profile, create_world, forget_caches, now


@pytest.fixture
def recorded(settings: LazySettings, tmp_path: Path) -> RecordedWorld:
    """A recording of its own, in folders of its own."""
    settings.CA_KEY_FOLDER, settings.RA_KEY_FOLDER = tmp_path / "ca", tmp_path / "ra"
    forget_caches()
    return RecordedWorld()


def rows() -> dict[str, list[Any]]:
    """Return every row of the database by its table."""
    tables = {}
    for model in apps.get_models():
        with connection.cursor() as cursor:
            cursor.execute(f'SELECT * FROM "{model._meta.db_table}"')  # noqa: S608 - the name of a model
            tables[model._meta.db_table] = sorted(map(repr, cursor.fetchall()))
    return tables


def files(folder: Path) -> dict[str, tuple[int, bytes]]:
    """Return mode and content of every file, by name."""
    found = (path for path in folder.rglob("*") if path.is_file())
    return {
        str(path.relative_to(folder)): (path.stat().st_mode, path.read_bytes()) for path in found
    }


def first(recorded: RecordedWorld, look: Callable[[], Any]) -> Any:
    """Build a world, look at it, and roll it back."""
    with transaction.atomic():
        recorded.build_or_play(create_world)
        seen = look()
        transaction.set_rollback(True)
    return seen


def refuse() -> World:
    """Stand for `create_world` where nothing may be built."""
    raise AssertionError("the world was built again")


def test_the_same_rows_and_files_are_there_again(
    db: None, recorded: RecordedWorld, settings: LazySettings, tmp_path: Path
) -> None:
    def look() -> Any:
        return rows(), files(tmp_path)

    built = first(recorded, look)
    for folder in ("ca", "ra"):
        shutil.rmtree(tmp_path / folder)
    world = recorded.build_or_play(refuse)

    assert look() == built
    assert world.ca == CertificateAuthority.objects.get()
    assert {path.stat().st_mode & 0o777 for path in tmp_path.iterdir()} == {0o700}


def test_a_played_world_signs_answers_and_grows(
    db: None, recorded: RecordedWorld, tmp_path: Path
) -> None:
    first(recorded, rows)
    for folder in ("ca", "ra"):
        shutil.rmtree(tmp_path / folder)
    world = recorded.build_or_play(refuse)

    assert open_key(world.ca, now=now()).algorithm == "ec"
    assert ra_keys.of(world.ca)[0].ca_id == world.ca.pk
    assert create_profile(world.ca, "printers").pk != world.profile.pk
    assert create_person("bob").pk != world.alice.pk
    assert check_invariants(at_rest=False).violations == ()


def test_each_world_has_objects_of_its_own(db: None, recorded: RecordedWorld) -> None:
    first(recorded, rows)
    with transaction.atomic():
        recorded.build_or_play(refuse).alice.full_name = "Bob"
        transaction.set_rollback(True)
    assert recorded.build_or_play(refuse).alice.full_name == "Alice"


def test_an_old_recording_is_not_used(db: None, recorded: RecordedWorld) -> None:
    first(recorded, rows)
    with (
        time_machine.travel(now() + timedelta(seconds=RECORDING_SECONDS + 1)),
        pytest.raises(AssertionError, match="built again"),
    ):
        recorded.build_or_play(refuse)


def test_a_recording_of_a_later_time_is_not_used(db: None, recorded: RecordedWorld) -> None:
    first(recorded, rows)
    with (
        time_machine.travel(now() - timedelta(hours=1)),
        pytest.raises(AssertionError, match="built again"),
    ):
        recorded.build_or_play(refuse)


def test_a_recording_is_not_used_where_rows_are(db: None, recorded: RecordedWorld) -> None:
    first(recorded, rows)
    create_person("bob")
    with pytest.raises(AssertionError, match="built again"):
        recorded.build_or_play(refuse)


def test_nothing_is_recorded_where_rows_are(db: None, recorded: RecordedWorld) -> None:
    with transaction.atomic():
        create_person("bob")
        recorded.build_or_play(create_world)
        transaction.set_rollback(True)
    with pytest.raises(AssertionError, match="built again"):
        recorded.build_or_play(refuse)


def test_what_is_committed_is_built(transactional_db: None, recorded: RecordedWorld) -> None:
    first(recorded, rows)
    with pytest.raises(AssertionError, match="built again"):
        recorded.build_or_play(refuse)
