"""Reads a lock file, and names everything that an installer would still have to resolve."""

import re
import tomllib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from typing import Final

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT: Final = Path(__file__).resolve().parents[2]
_PIN: Final = re.compile(
    r"^(?P<name>[A-Za-z0-9._-]+)(?:\[(?P<extras>[^\]]*)\])?==(?P<version>[^\s;\\]+)"
)
_HASH: Final = re.compile(r"--hash=sha256:[0-9a-f]{64}")

#: The systems that one lock serves; the first is Debian 12, the fifth Debian 13.
ENVIRONMENTS: Final[Mapping[str, Mapping[str, str]]] = {
    f"Python {version} on {system}": {
        "python_version": ".".join(version.split(".")[:2]),
        "python_full_version": version,
        "implementation_version": version,
        "implementation_name": "cpython",
        "platform_python_implementation": "CPython",
        "sys_platform": platform,
        "platform_system": {"linux": "Linux", "darwin": "Darwin", "win32": "Windows"}[platform],
        "platform_machine": machine,
        "os_name": "nt" if platform == "win32" else "posix",
        "platform_release": "",
        "platform_version": "",
    }
    for version in ("3.11.2", "3.11.7", "3.12.1", "3.13.0", "3.13.5", "3.14.0")
    for system, platform, machine in (
        ("Linux x86_64", "linux", "x86_64"),
        ("Linux aarch64", "linux", "aarch64"),
        ("macOS", "darwin", "arm64"),
        ("Windows", "win32", "AMD64"),
    )
}

Requirements = Callable[[str], Iterable[Requirement]]


@dataclass(frozen=True, slots=True)
class Pin:
    """One line of a lock."""

    requirement: Requirement
    version: str
    hashes: int


def read_lock(text: str) -> dict[str, Pin]:
    """Return the lines of a lock by the name of the package.

    Raises ValueError for a line that pins nothing.
    """
    pins: dict[str, Pin] = {}
    for line in re.sub(r"\\\n", " ", text).splitlines():
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        if not _PIN.match(line):
            raise ValueError(f"{line.split()[0]}: the line has no exact version")
        requirement = Requirement(line.partition("--hash")[0].partition(" #")[0])
        version = str(requirement.specifier).removeprefix("==")
        pins[canonicalize_name(requirement.name)] = Pin(
            requirement, version, len(_HASH.findall(line))
        )
    return pins


def roots(*groups: str) -> list[Requirement]:
    """Return the requirements of pyproject.toml, with those of the named groups."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    lines = project["project"]["dependencies"] + [
        line for group in groups for line in project["dependency-groups"][group]
    ]
    return [Requirement(line) for line in lines]


@cache
def installed_requirements(name: str) -> list[Requirement]:
    """Return the requirements of an installed package; none for one left out on this system."""
    try:
        return [Requirement(line) for line in distribution(name).requires or []]
    except PackageNotFoundError:
        return []


def faults(
    pins: Mapping[str, Pin],
    declared: Iterable[Requirement],
    requirements: Requirements,
    environment: Mapping[str, str],
) -> list[str]:
    """Name each requirement, direct or not, that the lock does not satisfy, extras included."""
    problems: list[str] = []
    queue = [("pyproject.toml", requirement, "") for requirement in declared]
    pinned: set[tuple[str, str]] = set()
    while queue:
        source, requirement, extra = queue.pop()
        if requirement.marker and not requirement.marker.evaluate({**environment, "extra": extra}):
            continue
        name = canonicalize_name(requirement.name)
        problem = _problem(pins.get(name), requirement, environment)
        if problem:
            problems.append(f"{requirement} of {source}: {problem}")
            continue
        for active in ("", *requirement.extras):
            if (name, active) not in pinned:
                pinned.add((name, active))
                queue += [(name, needed, active) for needed in requirements(name)]
    return sorted(set(problems))


def _problem(pin: Pin | None, requirement: Requirement, environment: Mapping[str, str]) -> str:
    """Return the fault in the line of a required package, "" if it is right."""
    if pin is None:
        return "no line"
    if pin.requirement.marker and not pin.requirement.marker.evaluate(dict(environment)):
        return f"the line is for {pin.requirement.marker} only"
    if not requirement.specifier.contains(pin.version, prereleases=True):
        return f"the line has {pin.version}"
    missing = requirement.extras - pin.requirement.extras
    return f"the line lacks the extra {', '.join(sorted(missing))}" if missing else ""
