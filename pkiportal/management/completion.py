"""What completes `./portal` in a shell: every command of the catalogue with its options.

The shell finds a script for `portal` under `./portal` too, and under any path to it.
"""

from argparse import ArgumentParser
from typing import Final, Literal, cast, get_args

import shtab
from django.core.management import get_commands, load_command_class

from pkiportal.management.catalogue import LAUNCHER, SENTENCES

Shell = Literal["bash", "zsh"]
SHELLS: Final[tuple[Shell, ...]] = get_args(Shell)

#: Options that `manage.py` takes out before a command sees its arguments; what their values are.
_OF_ALL: Final = ("--data",)
_OF_UP: Final = ("--bind", "--http-bind", "--tls-cert", "--tls-key")
_VALUES: Final = {"--data": shtab.DIRECTORY, "--tls-cert": shtab.FILE, "--tls-key": shtab.FILE}


def completion(shell: Shell) -> str:
    """Return the script that a shell reads once."""
    text: str = shtab.complete(portal_parser(), shell=shell)
    return text


def portal_parser() -> ArgumentParser:
    """Return one parser over all commands, as the catalogue lists them."""
    root = ArgumentParser(prog="portal")
    root.add_argument("--version", action="store_true", help="the version of the portal")
    commands = root.add_subparsers(dest="command", metavar="COMMAND")
    commands.add_parser("help", help="List the commands.")
    for name, sentence in SENTENCES.items():
        parents = [] if name in LAUNCHER else [_parser_of(name)]
        parser = commands.add_parser(
            name, help=sentence, parents=parents, add_help=name in LAUNCHER
        )
        if name not in LAUNCHER:
            _add_settings(parser, is_up=name == "up")
    return root


def _parser_of(name: str) -> ArgumentParser:
    command = load_command_class(get_commands()[name], name)
    return cast("ArgumentParser", command.create_parser("portal", name))


def _add_settings(parser: ArgumentParser, *, is_up: bool) -> None:
    for option in _OF_ALL + (_OF_UP if is_up else ()):
        if option in parser.format_help():  # a command that shows it in its own --help
            continue
        action = parser.add_argument(option, metavar="VALUE")
        if option in _VALUES:
            action.complete = _VALUES[option]  # type: ignore[attr-defined]  # shtab reads it
