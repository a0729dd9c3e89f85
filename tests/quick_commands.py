"""Command lines run by a real shell, in which `./portal` leads to the process of the test.

A new interpreter for each command would take seconds. The `./portal` of the folder hands its
arguments and its standard streams over a socket, and the command runs here: in the test's
transaction, with the test's settings. Quotes, pipes, redirections and variables are the shell's
own.
"""

import array
import io
import json
import os
import select
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, chdir, contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from unittest import mock

from django.conf import settings
from django.core.management import ManagementUtility

from manage import answer_without_settings, settings_options
from pkiportal.management.catalogue import NoCommand

_WITHIN: Final = 60
_STUB: Final = """#!{python} -ISE
import json, os, socket, sys
door = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
door.connect({address!r})
order = json.dumps([os.getcwd(), dict(os.environ), sys.argv[1:]]).encode()
socket.send_fds(door, [order], [0, 1, 2])
door.shutdown(socket.SHUT_WR)
sys.exit(int(door.recv(8) or 70))
"""


@dataclass(frozen=True, slots=True)
class Outcome:
    """The result of a command line."""

    status: int
    out: str
    err: str


class QuickPortal:
    """A folder with a `./portal` whose commands run in this process."""

    def __init__(self, folder: Path, door: socket.socket) -> None:
        self.folder = folder
        self._door = door

    def sh(self, line: str, variables: Mapping[str, str]) -> Outcome:
        """Run one command line in the folder, and answer its `./portal` until the shell ends."""
        environment = {
            "PATH": os.environ["PATH"],
            "HOME": str(self.folder),
            "LANG": "C.UTF-8",
            **variables,
        }
        with tempfile.TemporaryFile("w+") as out, tempfile.TemporaryFile("w+") as err:
            shell = subprocess.Popen(
                ["sh", "-c", line],
                cwd=self.folder,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=err,
            )
            self._serve(shell)
            out.seek(0)
            err.seek(0)
            return Outcome(shell.returncode, out.read(), err.read())

    def _serve(self, shell: subprocess.Popen[bytes]) -> None:
        ended = os.pidfd_open(shell.pid)
        try:
            while True:
                ready, _, _ = select.select([self._door.fileno(), ended], [], [], _WITHIN)
                if self._door.fileno() in ready:
                    self._answer()
                elif ready:
                    shell.wait()
                    return
                else:
                    shell.kill()
                    shell.wait()
                    raise AssertionError(f"not within {_WITHIN} s: {shell.args!r}")
        finally:
            os.close(ended)

    def _answer(self) -> None:
        with self._door.accept()[0] as caller:
            text, streams = _receive(caller)
            folder, environment, arguments = json.loads(text)
            status = _run_here(arguments, Path(folder), environment, streams)
            caller.sendall(str(status).encode())


def _receive(caller: socket.socket) -> tuple[bytes, list[int]]:
    text, streams = b"", array.array("i")
    while True:
        part, ancillary, _, _ = caller.recvmsg(65536, socket.CMSG_SPACE(3 * streams.itemsize))
        for _level, _type, data in ancillary:
            streams.frombytes(data)
        if not part:
            return text, list(streams)
        text += part


def _run_here(
    arguments: list[str], folder: Path, environment: Mapping[str, str], streams: list[int]
) -> int:
    stdin, stdout, stderr = (
        io.TextIOWrapper(os.fdopen(number, mode), encoding="utf-8", write_through=True)
        for number, mode in zip(streams, ("rb", "wb", "wb"), strict=True)
    )
    with ExitStack() as stack:
        for stream in (stdin, stdout, stderr):
            stack.enter_context(stream)
        stack.enter_context(chdir(folder))
        stack.enter_context(redirect_stdout(stdout))
        stack.enter_context(redirect_stderr(stderr))
        stack.enter_context(mock.patch("sys.stdin", stdin))
        # Django closes the connections after a command: the test still needs its own.
        stack.enter_context(mock.patch("django.core.management.base.connections"))
        try:
            return _run_command(arguments, environment)
        except NoCommand as error:
            stderr.write(f"{error}\n")
            return 2
        except SystemExit as end:
            return end.code if isinstance(end.code, int) else int(bool(end.code))
    # For mypy, to which an ExitStack may swallow exceptions.
    raise AssertionError  # pragma: no cover


def _run_command(arguments: list[str], environment: Mapping[str, str]) -> int:
    arguments, variables = settings_options(arguments)
    for name, value in {**environment, **variables}.items():
        if name.startswith("PORTAL_") and (
            name != "PORTAL_DATA" or Path(value) != settings.PORTAL_DATA.root
        ):
            sys.stderr.write(
                f"{name}={value}: a command of this process has the settings of the tests\n"
            )
            return 70
    text = answer_without_settings(arguments)
    if text is not None:
        sys.stdout.write(f"{text}\n")
        return 0
    ManagementUtility(["portal", *arguments]).fetch_command(arguments[0]).run_from_argv(
        ["portal", *arguments]
    )
    return 0


@contextmanager
def quick_portal(folder: Path) -> Iterator[QuickPortal]:
    """Make `./portal` in a folder."""
    with (
        tempfile.TemporaryDirectory() as place,
        socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as door,
    ):
        address = f"{place}/door"  # the path of a socket is short: pytest's folders are not
        door.bind(address)
        door.listen()
        stub = folder / "portal"
        stub.write_text(_STUB.format(python=sys.executable, address=address))
        stub.chmod(0o755)
        yield QuickPortal(folder, door)
