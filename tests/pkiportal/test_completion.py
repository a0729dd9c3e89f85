"""bash and zsh complete each command, each action and each option of `./portal`."""

import shlex
import shutil
import subprocess
from argparse import SUPPRESS, ArgumentParser, _SubParsersAction
from collections.abc import Iterator
from pathlib import Path

import pytest

from pkiportal.management.catalogue import SENTENCES
from pkiportal.management.completion import SHELLS, completion, portal_parser
from tests.pkiportal.commands import run

pytestmark = pytest.mark.usefixtures("starts_processes")

_LOOK = """
look() {
  COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); COMPREPLY=()
  _shtab_portal
  echo "${COMPREPLY[@]}"
}
"""


def parsers(
    parser: ArgumentParser, *words: str
) -> Iterator[tuple[tuple[str, ...], ArgumentParser]]:
    """Each parser with the words that lead to it."""
    yield words, parser
    for action in parser._actions:
        if isinstance(action, _SubParsersAction):
            for name, child in action.choices.items():
                yield from parsers(child, *words, name)


def options(parser: ArgumentParser) -> set[str]:
    return {
        option
        for action in parser._actions
        if action.help != SUPPRESS
        for option in action.option_strings
        if option.startswith("--")
    }


ALL = dict(parsers(portal_parser()))


@pytest.fixture(scope="module")
def script(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("completion") / "portal.bash"
    path.write_text(completion("bash"))
    return path


def completed(script: Path, *lines: tuple[str, ...]) -> list[set[str]]:
    """What bash offers for the last word of each line."""
    asked = "\n".join(f"look ./portal {shlex.join(line)}" for line in lines)
    text = f"source {shlex.quote(str(script))}\n{_LOOK}\n{asked}\n"
    done = subprocess.run(
        ["bash", "--norc", "-c", text], capture_output=True, text=True, check=True, timeout=120
    )
    return [set(line.split()) for line in done.stdout.splitlines()]


def test_bash_completes_each_command_and_each_action(script: Path) -> None:
    assert completed(script, ("",)) == [{"help", *SENTENCES}]
    assert completed(script, ("requests", "")) == [
        {"list", "show", "approve", "reject", "retry", "erase"}
    ]
    assert completed(script, ("completion", "")) == [set(SHELLS)]


def test_bash_completes_each_option(script: Path) -> None:
    found = completed(script, *((*words, "--") for words in ALL))
    assert dict(zip(ALL, found, strict=True)) == {
        words: options(parser) for words, parser in ALL.items()
    }


@pytest.mark.parametrize("option", ["--data", "--bind", "--http-bind", "--tls-cert", "--tls-key"])
def test_the_options_of_the_settings_are_completed_too(option: str) -> None:
    assert option in options(ALL["up",])
    assert (option in options(ALL["crl",])) is (option == "--data")
    assert (option in options(ALL["crl", "list"])) is False


def test_zsh_is_given_each_command_and_option() -> None:
    text = completion("zsh")
    assert text.startswith("#compdef portal")
    assert [name for name in SENTENCES if f"    {name}:" not in text] == []
    missing = {
        option for parser in ALL.values() for option in options(parser) if option not in text
    }
    assert missing == set()


def test_shells_can_read_their_scripts() -> None:
    """bash is everywhere; zsh is asked where it is installed."""
    for shell in filter(shutil.which, SHELLS):
        text = run("completion", shell)
        subprocess.run([shell, "-n"], input=text, text=True, check=True, timeout=60)
