#!/usr/bin/env python3
"""Every command of the portal: `./portal COMMAND`."""

import os
import sys
from pathlib import Path

# Options of all commands that decide about the settings; they become variables before the settings are read.
_SETTINGS = {
    "--data": "PORTAL_DATA",
    "--bind": "PORTAL_BIND",
    "--http-bind": "PORTAL_HTTP_BIND",
    "--tls-cert": "PORTAL_TLS_CERT",
    "--tls-key": "PORTAL_TLS_KEY",
}
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


def main() -> None:
    """Run one command; a wrong setting ends it with one sentence and status 2."""
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "pkiportal.settings")
    os.environ.setdefault("PORTAL_PROCESS", "command")
    arguments, variables = settings_options(sys.argv[1:])
    for name, value in variables.items():
        os.environ[name] = value
        os.environ.pop(f"{name}_FILE", None)
    if arguments[:1] == ["up"] and "PORTAL_BIND_FILE" not in os.environ:
        os.environ.setdefault("PORTAL_BIND", "127.0.0.1:8000")  # not where an earlier one listened
    from django.core.exceptions import ImproperlyConfigured
    from django.core.management import execute_from_command_line

    from pkiportal.datafolder import ensure_data_folder
    from pkiportal.environment import read

    try:
        if "DJANGO_SETTINGS_MODULE" in os.environ and os.environ["DJANGO_SETTINGS_MODULE"] == "pkiportal.settings":
            ensure_data_folder(read("PORTAL_DATA", Path, default=Path(__file__).resolve().parent / "var"))
        execute_from_command_line([sys.argv[0], *arguments])
    except ImproperlyConfigured as error:
        sys.stderr.write(f"{error}\n")
        raise SystemExit(2) from error


if __name__ == "__main__":
    main()
