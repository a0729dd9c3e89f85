"""TCP ports of the loopback for programs under test: each belongs to one test process.

They lie below the range from which Linux takes ports by itself (32768 and up), so that no outgoing
connection takes one between the look and the start; and a locked file for each keeps other test
processes away, also those of another run on this machine.
"""

import fcntl
import os
import random
import socket
import tempfile
from pathlib import Path
from typing import IO, Final

_PORTS: Final = range(20_000, 32_000)
_held: list[IO[str]] = []


def free_port() -> int:
    """Return a port that nothing listens on, and that no other test process is given."""
    folder = Path(tempfile.gettempdir()) / f"portal-test-ports-{os.getuid()}"
    folder.mkdir(mode=0o700, exist_ok=True)
    for port in random.SystemRandom().sample(_PORTS, 200):
        file = (folder / str(port)).open("w")
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            with socket.socket() as probe:
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                probe.bind(("127.0.0.1", port))
        except OSError:
            file.close()
            continue
        _held.append(file)
        return port
    raise RuntimeError(f"no port of {_PORTS} is free")
