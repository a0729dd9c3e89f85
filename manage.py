#!/usr/bin/env python3
"""Every command of the portal: `./portal COMMAND`."""

import os
import sys
from io import TextIOWrapper
from pathlib import Path

from pkiportal import __version__
from pkiportal.management.catalogue import LAUNCHER, NoCommand, check_command, help_text

# Options of all commands that decide about the settings; they become variables before the settings
# are read.
_SETTINGS = {
    "--data": "PORTAL_DATA",
    "--bind": "PORTAL_BIND",
    "--http-bind": "PORTAL_HTTP_BIND",
    "--tls-cert": "PORTAL_TLS_CERT",
    "--tls-key": "PORTAL_TLS_KEY",
}
# They look at what is there: none of them makes a data folder, or a secret that is missing from it.
_LOOK_ONLY = ("doctor", "secrets", "check_invariants", "completion")
_OF_UP_ONLY = ("--bind", "--http-bind", "--tls-cert", "--tls-key")


def settings_options(arguments: list[str]) -> tuple[list[str], dict[str, str]]:
    """The arguments without the options above, and the variables that the options stand for."""
    is_up = arguments[:1] == ["up"]
    kept: list[str] = []
    variables: dict[str, str] = {}
    rest = iter(arguments)
    for argument in rest:
        option, has_value, value = argument.partition("=")
        if argument == "--" or option not in _SETTINGS or (option in _OF_UP_ONLY and not is_up):
            kept.append(argument)
            if argument == "--":
                kept.extend(rest)
            continue
        value = value if has_value else next(rest, "")
        if not value:
            raise SystemExit(f"{option}: the value is missing")
        variables[_SETTINGS[option]] = value
    return kept, variables


def answer_without_settings(arguments: list[str]) -> str | None:
    """The text of `help` and `--version`, None for a command that Django runs.

    Raises NoCommand for everything else.
    """
    name, *rest = arguments or ["help"]
    options = rest[: rest.index("--")] if "--" in rest else rest
    if name in {"--version", "version"} or "--version" in options:
        return __version__
    if name in {"help", "-h", "--help"}:
        about = next((word for word in rest if not word.startswith("-")), None)
        if about is None:
            return help_text(__version__)
        name, arguments[:] = about, [about, "--help"]
    check_command(name)
    if name in LAUNCHER:
        if "--help" in arguments:
            return f"./portal {name}: {LAUNCHER[name]}"
        raise NoCommand(f"{name}: the file portal runs it: `./portal {name}`")
    return None


def accept_any_terminal() -> None:
    """Where a terminal cannot show a character, as in an ISO-8859-1 locale, another stands for it.

    Raises NoCommand for an argument that is no text in this locale: no record could hold it.
    """
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="backslashreplace" if stream is sys.stderr else "replace")
    for argument in sys.argv[1:]:
        if not argument.isascii() and any("\ud800" <= letter <= "\udfff" for letter in argument):
            shown = argument.encode(errors="backslashreplace").decode()
            raise NoCommand(
                f"argument '{shown}': it is no text in {sys.getfilesystemencoding()}, the locale's "
                "encoding"
            )


def main() -> None:
    """Run one command; a wrong setting or command ends it with one sentence and status 2."""
    try:
        accept_any_terminal()
        arguments, variables = settings_options(sys.argv[1:])
        text = answer_without_settings(arguments)
    except NoCommand as error:
        sys.stderr.write(f"{error}\n")
        raise SystemExit(2) from error
    if text is not None:
        sys.stdout.write(f"{text}\n")
        return
    for name, value in variables.items():
        os.environ[name] = value
        os.environ.pop(f"{name}_FILE", None)
    run(arguments)


def run(arguments: list[str]) -> None:
    """Let Django run one command with the settings of the environment."""
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "pkiportal.settings")
    os.environ.setdefault("PORTAL_PROCESS", "command")
    if arguments[0] == "up" and not {"-h", "--help"} & set(arguments):
        sys.stdout.write(
            "Starting the portal ...\n"
        )  # what follows takes seconds until it can say more
        sys.stdout.flush()
        if "PORTAL_BIND_FILE" not in os.environ:
            os.environ.setdefault(
                "PORTAL_BIND", "127.0.0.1:8000"
            )  # not where an earlier one listened
    from django.core.exceptions import ImproperlyConfigured
    from django.core.management import execute_from_command_line

    from pkiportal.environment.datafolder import ensure_data_folder
    from pkiportal.environment.variables import read

    try:
        makes_folder = arguments[0] not in _LOOK_ONLY or bool({"-h", "--help"} & set(arguments))
        if os.environ["DJANGO_SETTINGS_MODULE"] == "pkiportal.settings" and makes_folder:
            ensure_data_folder(
                read("PORTAL_DATA", Path, default=Path(__file__).resolve().parent / "var")
            )
        execute_from_command_line(["portal", *arguments])
    except ImproperlyConfigured as error:
        sys.stderr.write(f"{error}\n")
        raise SystemExit(2) from error


if __name__ == "__main__":
    main()
