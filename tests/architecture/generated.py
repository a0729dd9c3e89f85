"""Sections of documents that are made from the code. `python -m tests.architecture.generated`.

A section stands between two comments of Markdown that name it. The command writes all of them;
`test_generated.py` sees that each is current.
"""

import ast
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import django
from django.apps import apps
from django.core.management import load_command_class

from tests.architecture.measures import ROOT, Module, contracts, modules, packages

COMMAND: Final = "python -m tests.architecture.generated"
ARCHITECTURE: Final = "docs/architecture.md"
COMMANDS: Final = "docs/commands.md"
DECISIONS: Final = "docs/adr/README.md"
_SECTION: Final = "<!-- {name}: written by `" + COMMAND + "` -->\n{text}\n<!-- end of {name} -->"


def written(document: str, name: str, text: str) -> str:
    """Return a document with the text of one of its sections replaced."""
    start, end = re.escape(f"<!-- {name}:"), re.escape(f"<!-- end of {name} -->")
    section = _SECTION.format(name=name, text=text)
    replaced, count = re.subn(f"{start}.*?{end}", lambda _: section, document, flags=re.DOTALL)
    if count != 1:
        message = f"{count} sections are named {name}"
        raise ValueError(message)
    return replaced


# The map


def map_of_packages() -> str:
    """Return a table for each package: its rooms, what lives there, and their modules."""
    rooms = {module.name: module for module in modules() if module.path.endswith("/__init__.py")}
    return "\n".join(
        line
        for package in packages()
        for line in _package(
            package, [room for name, room in rooms.items() if is_below(name, package)]
        )
    ).strip()


def is_below(name: str, package: str) -> bool:
    """Return whether a module is a package or lies in it."""
    return name == package or name.startswith(f"{package}.")


def _package(package: str, rooms: list[Module]) -> list[str]:
    return [
        f"### {package}\n",
        "| room | what lives there | modules |",
        "|---|---|---|",
        *(f"| `{room.name}` | {sentences(room)} | {_modules_of(room.name)} |" for room in rooms),
        "",
    ]


def _modules_of(room: str) -> str:
    names = [
        module.name.rpartition(".")[2]
        for module in modules()
        if module.name.rpartition(".")[0] == room and not module.path.endswith("/__init__.py")
    ]
    return " ".join(names)


def sentences(module: Module) -> str:
    """Return the docstring of a package in one line."""
    text = ast.get_docstring(module.tree)
    if not text:
        message = f"{module.path} has no docstring that says what lives there"
        raise ValueError(message)
    return " ".join(text.split())


# The floors


def floors() -> str:
    """Return what the contracts allow: between the packages, and between the rooms of each."""
    layers = [contract for contract in contracts() if contract["type"] == "layers"]
    other = [contract["name"] for contract in contracts() if contract["type"] != "layers"]
    top = next(contract for contract in layers if not contract.get("containers"))
    return "\n".join(
        [
            "```text",
            *top["layers"],
            "```",
            "",
            *(_floors_of(contract) for contract in layers if _is_of_package(contract)),
            "",
            "The other contracts:",
            "",
            *(f"* {name}" for name in other),
        ]
    )


def _is_of_package(contract: dict[str, Any]) -> bool:
    return any("." not in container for container in contract.get("containers", []))


def _floors_of(contract: dict[str, Any]) -> str:
    return f"* `{contract['containers'][0]}`: {' → '.join(contract['layers'])}"


# The decisions


def decisions() -> str:
    """Return a table of the architecture decisions."""
    rows = [
        f"| [{number}]({path.name}) | {title} | {status} | {date} |"
        for path in sorted((ROOT / DECISIONS).parent.glob("[0-9]*.md"))
        for number, title, status, date in [heading(path)]
    ]
    return "\n".join(["| number | title | status | date |", "|---|---|---|---|", *rows])


def heading(path: Path) -> tuple[str, str, str, str]:
    """Return number, title, status and date of a decision."""
    pattern = r"# (\d+)\. (.+)\n\n\* Status: (.+)\n\* Date: (\d{4}-\d\d-\d\d)\n"
    match = re.match(pattern, path.read_text())
    if match is None:
        message = f"{path.name} does not begin with title, status and date"
        raise ValueError(message)
    return match[1], match[2], match[3], match[4]


# The settings of a profile


def settings_of_profiles() -> str:
    """Return a table of the settings of an enrollment profile."""
    if not apps.ready:
        os.environ.setdefault("DJANGO_SETTINGS_MODULE", "tests.settings")
        django.setup()
    from approvals.profiles.settings import SETTINGS, Setting

    parser = load_command_class("pkiportal", "createprofile").create_parser("portal", "")
    flags = {action.dest: action.option_strings for action in parser._actions}

    def option_of(setting: Setting) -> str:
        if setting.option:
            return f"`{setting.option.flag}`"
        strings = flags.get(setting.key) or flags.get(setting.field)
        return f"`{strings[0]}`" if strings else ""

    rows = [
        f"| {setting.label} | {setting.section} | `{setting.key or setting.field}` "
        f"| {option_of(setting)} | {setting.help} |"
        for setting in SETTINGS
    ]
    heading_row = "| setting | section of the form | in records | option | meaning |"
    return "\n".join([heading_row, "|---|---|---|---|---|", *rows])


SECTIONS: Final[dict[str, dict[str, Callable[[], str]]]] = {
    ARCHITECTURE: {"map": map_of_packages, "floors": floors},
    DECISIONS: {"decisions": decisions},
    COMMANDS: {"settings": settings_of_profiles},
}


def current(document: str) -> str:
    """Return a document with all its sections as the code is today."""
    text = (ROOT / document).read_text()
    for name, make in SECTIONS[document].items():
        text = written(text, name, make())
    return text


if __name__ == "__main__":
    for name in SECTIONS:
        (ROOT / name).write_text(current(name))
