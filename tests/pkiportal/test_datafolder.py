"""The data folder and its secrets."""

import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from pkiportal.environment.datafolder import SECRETS, DataFolder, ensure_data_folder
from pkiportal.environment.variables import SettingsError


@pytest.fixture(autouse=True)
def no_secrets_in_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in SECRETS.values():
        monkeypatch.delenv(variable, raising=False)


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_a_new_folder_is_private_and_has_a_secret_for_everything(tmp_path: Path) -> None:
    folder = ensure_data_folder(tmp_path / "new" / "portal")
    assert {mode(path) for path in folder.root.rglob("*") if path.is_dir()} == {0o700}
    assert {mode(path) for path in folder.secrets.iterdir()} == {0o600}
    assert len({folder.secret(name) for name in SECRETS}) == len(SECRETS)
    assert min(len(folder.secret(name)) for name in SECRETS) >= 43


def test_a_second_start_keeps_the_secrets(tmp_path: Path) -> None:
    first = ensure_data_folder(tmp_path / "portal").secret("ca-passphrase")
    assert ensure_data_folder(tmp_path / "portal").secret("ca-passphrase") == first


def test_processes_that_start_together_agree_on_the_secrets(tmp_path: Path) -> None:
    with ThreadPoolExecutor(8) as pool:
        folders = list(pool.map(lambda number: ensure_data_folder(tmp_path / "portal"), range(8)))
    assert len({folder.secret("django") for folder in folders}) == 1
    assert len(list(folders[0].secrets.iterdir())) == len(SECRETS)


def test_a_secret_of_the_environment_is_not_written_down(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PORTAL_CA_PASSPHRASE", "from a vault")
    folder = ensure_data_folder(tmp_path / "portal")
    assert sorted(path.name for path in folder.secrets.iterdir()) == [
        "challenge",
        "django",
        "ra-passphrase",
    ]


def test_an_empty_folder_that_others_may_enter_is_closed(tmp_path: Path) -> None:
    (tmp_path / "portal").mkdir(mode=0o755)
    assert mode(ensure_data_folder(tmp_path / "portal").root) == 0o700


def test_a_shared_folder_in_use_is_refused_and_left_as_it_is(tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.mkdir(mode=0o755)
    (home / "letter.txt").write_text("not ours")
    with pytest.raises(
        SettingsError, match=f"PORTAL_DATA: {home} can be entered by others, run: chmod 700"
    ):
        ensure_data_folder(home)
    assert mode(home) == 0o755


def test_a_file_in_place_of_the_folder_is_named(tmp_path: Path) -> None:
    (tmp_path / "portal").write_text("")
    with pytest.raises(SettingsError, match=r"PORTAL_DATA: .*/portal cannot be used: File exists"):
        ensure_data_folder(tmp_path / "portal")


def test_a_secret_that_others_can_read_is_refused(tmp_path: Path) -> None:
    folder = ensure_data_folder(tmp_path / "portal")
    (folder.secrets / "django").chmod(0o644)
    with pytest.raises(SettingsError, match="can be read by others, run: chmod 600"):
        folder.secret("django")


def test_a_lost_secret_is_named_and_not_invented(tmp_path: Path) -> None:
    folder = ensure_data_folder(tmp_path / "portal")
    (folder.secrets / "ca-passphrase").unlink()
    with pytest.raises(
        SettingsError, match=r"PORTAL_CA_PASSPHRASE is not set and .* cannot be read"
    ):
        folder.secret("ca-passphrase")
    (folder.secrets / "ca-passphrase").touch(mode=0o600)
    with pytest.raises(SettingsError, match="is empty, restore it from a backup"):
        folder.secret("ca-passphrase")


def test_a_path_too_long_for_a_socket_is_refused_with_the_way_out() -> None:
    with pytest.raises(
        SettingsError, match="too long for a socket in it, at most 95 bytes, or set REDIS_URL"
    ):
        _ = DataFolder(Path("/" + "x" * 100)).broker_socket
