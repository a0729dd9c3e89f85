"""No process of the portal outlives its starter, even one that is killed without warning."""

import ctypes
import os
import signal
import sys
from typing import Final

#: Process id of the process to follow; set only in processes that a part of the portal started.
_VARIABLE: Final = "PORTAL_FOLLOW"
_PR_SET_PDEATHSIG: Final = 1


def be_followed() -> None:
    """Let the processes that this one will start follow it."""
    os.environ[_VARIABLE] = str(os.getpid())


def follow_the_starter() -> None:
    """End with the process that called `be_followed`.

    Does nothing in a process that no part of the portal started.
    """
    starter = os.environ.get(_VARIABLE, "")
    if starter.isdecimal():
        die_with_parent(int(starter), signal.SIGKILL)


def die_with_parent(parent: int, signal_number: int) -> None:
    """Ask Linux to send the signal when the parent dies; exit at once if it is dead already.

    The signal is sent when the parent's *thread* ends, so processes must be started from a thread
    that stays. The setting survives `exec`. Does nothing on other systems.
    """
    if not sys.platform.startswith("linux"):
        return
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, int(signal_number))
    if os.getppid() != parent:
        os._exit(0)
