"""Disks and files: free space, files that other users can read, missing files."""

import json
import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from django.conf import settings
from django.contrib.staticfiles.storage import ManifestFilesMixin, staticfiles_storage
from django.db import connection

from approvals.models.operations import Pulse
from approvals.operations.pulse import LEAST_ROOM
from pkiportal.doctor.check import Check, Clock

_LOW_SHARE: Final = 0.05
_LOW_ROOM: Final = 1024**3
_OTHERS: Final = stat.S_IRWXG | stat.S_IRWXO


def room(_: Clock) -> Iterator[Check]:
    """Free space where the portal writes."""
    folder = settings.PORTAL_DATA
    places = {
        path for path in (folder.root, folder.logs, Path(settings.RA_KEY_FOLDER)) if path.is_dir()
    }
    if connection.vendor == "sqlite":
        places |= {Path(str(connection.settings_dict["NAME"])).absolute().parent}
    devices: set[int] = set()
    for path in sorted(places):
        device = path.stat().st_dev
        if device not in devices:
            devices.add(device)
            yield _room_of(path)
    if connection.vendor == "postgresql":
        yield Check("disk", "ok", "the room of the database is its server's to watch")


def _room_of(path: Path) -> Check:
    status = os.statvfs(path)
    free, total = status.f_bavail * status.f_frsize, status.f_blocks * status.f_frsize
    size = f"{free / 1024**2:,.0f} MiB" if free < 10 * 1024**3 else f"{free / 1024**3:,.0f} GiB"
    if status.f_flag & os.ST_RDONLY:
        return Check("disk", "fail", f"{path} is on a disk that is mounted read-only")
    if free < LEAST_ROOM:
        return Check("disk", "fail", f"{path} is on a full disk: {size} are free")
    if free < _LOW_ROOM and free < total * _LOW_SHARE:
        return Check("disk", "warn", f"{path} is on a disk that is nearly full: {size} are free")
    return Check("disk", "ok", f"{size} are free at {path}")


def database_files(_: Clock) -> Iterator[Check]:
    """Which users can read the database outside the portal, and whether it accepts writes."""
    if connection.vendor == "sqlite":
        yield from _sqlite_files()
        return
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT count(DISTINCT table_name) FROM information_schema.role_table_grants "
            "WHERE grantee = 'PUBLIC' AND table_schema = 'public'"
        )
        (public,) = cursor.fetchone()
        # The doctor makes its own transactions read-only, so it checks the setting of the role
        # instead of its own.
        cursor.execute(
            "SELECT pg_is_in_recovery() OR EXISTS (SELECT FROM pg_settings "
            "WHERE name = 'default_transaction_read_only' AND reset_val = 'on')"
        )
        (read_only,) = cursor.fetchone()
    if public:
        yield Check(
            "database",
            "fail",
            f"{public} tables are open to every login of the server: ./portal grants",
        )
    if read_only:
        yield Check(
            "database",
            "fail",
            "is read-only and stores nothing: connect the portal to the primary server",
        )
    if not public and not read_only:
        yield Check("database", "ok", "is writable, and no table is open to every login")


def _sqlite_files() -> Iterator[Check]:
    database = Path(str(connection.settings_dict["NAME"]))
    fine = True
    for path in (database, *(database.with_name(database.name + end) for end in ("-wal", "-shm"))):
        if not path.exists():
            continue
        mode = stat.S_IMODE(path.stat().st_mode)
        if mode & _OTHERS:
            fine = False
            yield Check(
                "database",
                "fail",
                f"{path} has mode {mode:04o}, others may read it: chmod 600 {path}",
            )
        elif not mode & stat.S_IWUSR:
            fine = False
            yield Check(
                "database",
                "fail",
                f"{path} has mode {mode:04o} and cannot be written: chmod 600 {path}",
            )
    if fine:
        yield Check("database", "ok", f"{database} is private and writable")


def static_files(_: Clock) -> Iterator[Check]:
    """Whether all files of the pages were collected."""
    if not isinstance(staticfiles_storage, ManifestFilesMixin):
        return
    root = Path(settings.STATIC_ROOT)
    manifest = root / staticfiles_storage.manifest_name
    todo = "./portal up, or ./portal collectstatic --noinput, makes them"
    try:
        paths = json.loads(manifest.read_text())["paths"].values()
    except (OSError, ValueError, KeyError):
        has_run = Pulse.objects.filter(name__startswith="web@").exists()
        yield Check(
            "static files",
            "fail" if has_run else "warn",
            f"{manifest} is missing or damaged: {todo}",
        )
        return
    missing = sorted(path for path in paths if not (root / path).is_file())
    if missing:
        yield Check(
            "static files",
            "fail",
            f"{len(missing)} are missing, the first {root / missing[0]}: {todo}",
        )
    else:
        yield Check("static files", "ok", f"{len(paths)} are there")
