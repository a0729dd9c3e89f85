"""One process of the portal with the points in it: `python -m tests.chaos.process KIND …`, as the product starts it.

`exec PROGRAM …` runs a program as another user, if wanted. All of them end when the conductor does.
"""

import os
import pwd
import signal
import sys
from typing import Final

from pkiportal.lifeline import die_with_parent
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
        case "command":
            _command(arguments)
        case _:
            _celery(kind)


def _become_user(name: str) -> None:
    if name:
        user = pwd.getpwnam(name)
        os.setgroups([])
        os.setgid(user.pw_gid)
        os.setuid(user.pw_uid)


def _web() -> None:
    from pkiportal.lifeline import be_followed
    from pkiportal.webserver import server

    be_followed()
    wanted = server()
    wanted.target = "tests.chaos.webapp:application"
    wanted.serve()


def _celery(kind: str) -> None:
    from celery.signals import worker_process_init

    from pkiportal.celery import app

    if kind == "beat":
        app.start(["--quiet", "beat", "--pidfile="])
        return
    if kind == "signing":
        worker_process_init.connect(lambda **_: points.install_signing(), weak=False)
    app.start(["--quiet", "worker", "-n", f"{kind}@portal", "-Q", kind, "-P", "prefork", "-c", "2", *_QUIET])


def _command(arguments: list[str]) -> None:
    import django
    from django.core.management import execute_from_command_line

    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "pkiportal.settings")
    django.setup()
    points.install_decisions()
    execute_from_command_line(["manage.py", *arguments])


if __name__ == "__main__":
    main()
