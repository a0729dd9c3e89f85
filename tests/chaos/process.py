"""One process of the portal with the points: `python -m tests.chaos.process KIND …`.

It starts as the product starts it. `exec PROGRAM …` runs a program, as another user if asked. All
of them end when the conductor does.
"""

import json
import os
import pwd
import signal
import sys
import tempfile
from typing import Final, NoReturn

from pkiportal.runtime.lifeline import die_with_parent
from tests.chaos import points

CONDUCTOR: Final = "CHAOS_CONDUCTOR"
RUN_AS: Final = "CHAOS_RUN_AS"
_QUIET: Final = ["--without-gossip", "--without-mingle", "--without-heartbeat"]


def main() -> None:
    """Become the process named by the arguments."""
    kind, *arguments = sys.argv[1:]
    if kind == "exec":
        _become_user(os.environ.get(RUN_AS, ""))
    die_with_parent(int(os.environ[CONDUCTOR]), signal.SIGKILL)
    match kind:
        case "exec":
            os.execv(arguments[0], arguments)  # noqa: S606 - programs of the conductor
        case "web":
            _web()
        case "commands":
            _commands()
        case _:
            _celery(kind)


def _become_user(name: str) -> None:
    if name:
        user = pwd.getpwnam(name)
        os.setgroups([])
        os.setgid(user.pw_gid)
        os.setuid(user.pw_uid)


def _web() -> None:
    import django

    from pkiportal.runtime.lifeline import be_followed
    from pkiportal.webserver import server

    django.setup()  # once, for all processes that are forked: those that die are back at once
    be_followed()
    web_server = server()
    web_server.target = "tests.chaos.webapp:front"
    web_server.serve()


def _celery(kind: str) -> None:
    from celery.signals import worker_process_init

    from pkiportal.celery import app

    if kind == "beat":
        app.start(["--quiet", "beat", "--pidfile="])
        return
    if kind == "signing":
        worker_process_init.connect(lambda **_: points.install_signing(), weak=False)
    app.start(
        [
            "--quiet",
            "worker",
            "-n",
            f"{kind}@portal",
            "-Q",
            kind,
            "-P",
            "prefork",
            "-c",
            "2",
            *_QUIET,
        ]
    )


def _commands() -> None:
    """Run management commands, each in its own forked process, which saves seconds of imports.

    Reads arguments as one JSON list a line, answers with exit status and output as one JSON object
    a line.
    """
    import django

    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "pkiportal.settings")
    django.setup()
    points.install_decisions()
    for line in sys.stdin:
        with tempfile.TemporaryFile() as output:
            child = os.fork()
            if child == 0:
                os.dup2(output.fileno(), 1)
                os.dup2(output.fileno(), 2)
                _run_command(json.loads(line))
            status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
            output.seek(0)
            answer = {"status": status, "output": output.read().decode(errors="replace")}
        sys.stdout.write(json.dumps(answer) + "\n")
        sys.stdout.flush()


def _run_command(arguments: list[str]) -> NoReturn:
    from django.core.management import execute_from_command_line

    status = 0
    try:
        execute_from_command_line(["manage.py", *arguments])
    except SystemExit as error:
        status = error.code if isinstance(error.code, int) else 1
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)


if __name__ == "__main__":
    main()
