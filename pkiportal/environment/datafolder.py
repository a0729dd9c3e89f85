"""The folder with the whole state of an embedded portal, and its secrets, made on first use."""

import os
import secrets
import stat
import tempfile
from dataclasses import dataclass
from pathlib import Path
from shlex import quote
from typing import Final

from pkiportal.environment.variables import SettingsError, is_set

#: Name of the file in the secrets folder, and the variable that replaces it.
SECRETS: Final = {
    "django": "PORTAL_SECRET_KEY",
    "ca-passphrase": "PORTAL_CA_PASSPHRASE",
    "ra-passphrase": "PORTAL_RA_PASSPHRASE",
    "challenge": "PORTAL_CHALLENGE_KEY",
}
_SECRET_BYTES = 48
#: Linux limits a socket address to 108 bytes, one of them for the final zero.
_SOCKET_PATH_MAX = 107


@dataclass(frozen=True, slots=True)
class DataFolder:
    """The paths in the data folder. Reading them creates nothing."""

    root: Path

    @property
    def database(self) -> Path:
        """The SQLite database of the embedded portal."""
        return self.root / "db.sqlite3"

    @property
    def broker_socket(self) -> Path:
        """The socket of the embedded Valkey. Raises SettingsError if its path is too long."""
        path = self.root / "valkey.sock"
        if len(os.fsencode(path)) > _SOCKET_PATH_MAX:
            raise SettingsError(
                f"PORTAL_DATA: {str(self.root)!r} is too long for a socket in it, "
                f"at most {_SOCKET_PATH_MAX - len('/valkey.sock')} bytes, or set REDIS_URL"
            )
        return path

    @property
    def broker(self) -> Path:
        """The append-only files of the embedded Valkey."""
        return self.root / "valkey"

    @property
    def logs(self) -> Path:
        """One log file for each part that the supervisor runs."""
        return self.root / "logs"

    @property
    def keys(self) -> Path:
        """Encrypted private keys: `ca/` for authorities, `ra/` for registration authorities."""
        return self.root / "keys"

    @property
    def secrets(self) -> Path:
        """Secrets that the environment does not set."""
        return self.root / "secrets"

    @property
    def static(self) -> Path:
        """Style sheets, scripts and pictures, collected with a digest in each name."""
        return self.root / "static"

    @property
    def lock(self) -> Path:
        """Held by the supervisor and inherited by its parts."""
        return self.root / "up.lock"

    @property
    def proxy_notice(self) -> Path:
        """The last unusable entry of a proxy, for the doctor."""
        return self.root / "proxy-notice"

    @property
    def address(self) -> Path:
        """The addresses of the last start of `up`, for other commands."""
        return self.root / "address"

    def recorded_address(self) -> str:
        """The public address: the first line of that file, or ""."""
        return self._recorded(0)

    def recorded_nearby(self) -> str:
        """The SCEP address for clients on this machine: the second line of that file, or ""."""
        return self._recorded(1)

    def _recorded(self, number: int) -> str:
        try:
            lines = self.address.read_text(encoding="utf-8").split()
        except OSError:
            return ""
        return lines[number] if number < len(lines) else ""

    def secret(self, name: str) -> str:
        """Return the text of a secret file.

        Raises SettingsError if it is missing or other users can read it.
        """
        path = self.secrets / name
        try:
            with path.open() as file:
                mode = os.fstat(file.fileno()).st_mode
                text = file.read().strip()
        except OSError as error:
            raise SettingsError(
                f"{SECRETS[name]} is not set and {path} cannot be read: {error.strerror}, restore "
                "it from a backup or "
                "name the right folder with --data or PORTAL_DATA"
            ) from error
        if mode & (stat.S_IRWXG | stat.S_IRWXO):
            raise SettingsError(f"{path} can be read by others, run: chmod 600 {quote(str(path))}")
        if not text:
            raise SettingsError(f"{path} is empty, restore it from a backup")
        return text


def ensure_data_folder(root: Path) -> DataFolder:
    """Create missing folders with mode 0700, and each secret that the environment does not set.

    Safe to run twice at the same time: a secret appears under its name complete or not at all.
    Raises SettingsError for a folder of another user, and for a non-empty folder that others may
    enter: it may be a home directory or /tmp.
    """
    folder = DataFolder(root.absolute())
    _ensure_private(folder.root)
    for path in (
        folder.keys,
        folder.keys / "ca",
        folder.keys / "ra",
        folder.secrets,
        folder.logs,
        folder.static,
    ):
        _ensure_private(path)
    for name, variable in SECRETS.items():
        if not is_set(variable):
            _ensure_secret(folder.secrets / name)
    return folder


def _ensure_private(path: Path) -> None:
    try:
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
        status = path.stat()
        if status.st_uid != os.geteuid():
            raise SettingsError(f"PORTAL_DATA: {path} belongs to another user")
        if stat.S_IMODE(status.st_mode) & 0o077:
            if any(path.iterdir()):
                raise SettingsError(
                    f"PORTAL_DATA: {path} can be entered by others, run: chmod 700 "
                    f"{quote(str(path))}"
                )
            path.chmod(0o700)
    except OSError as error:
        raise SettingsError(f"PORTAL_DATA: {path} cannot be used: {error.strerror}") from error


def _ensure_secret(path: Path) -> None:
    if path.exists():
        return
    descriptor, draft = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)  # mode 0600
    try:
        with os.fdopen(descriptor, "w") as file:
            file.write(secrets.token_urlsafe(_SECRET_BYTES) + "\n")
            file.flush()
            os.fsync(file.fileno())
        try:
            path.hardlink_to(draft)
        except FileExistsError:
            return  # another process was first: its secret remains
    finally:
        Path(draft).unlink()
