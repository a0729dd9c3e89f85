"""Named points of the product's code at which a process of the kill test dies.

Production code knows nothing of them. A point is armed by a file in `armed/POINT/`. The process
that comes by takes the file (a rename, so that one process dies for it), leaves it in
`killed/POINT/` with its kind, and kills itself with SIGKILL.
"""

import functools
import hashlib
import os
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from types import ModuleType
from typing import Any, Final

FOLDER: Final = "CHAOS_FOLDER"
ENROLL: Final = ("enroll.before-commit", "enroll.after-commit")
APPROVE: Final = (
    "approve.before-update",
    "approve.before-audit",
    "approve.before-commit",
    "approve.before-ring",
)
ISSUE: Final = (
    "issue.before-take",
    "issue.take-before-commit",
    "issue.after-take",
    "issue.after-sign",
    "issue.record-before-commit",
    "issue.before-ack",
)
POINTS: Final = (*ENROLL, *APPROVE, *ISSUE)

#: The instrumented worker waits this long instead of a minute and more, so that the test sees the
#: second attempt.
LEASE_SECONDS: Final = 3
MAX_DELAY_SECONDS: Final = 2


def fire(point: str) -> None:
    """Die here if the point is armed."""
    root = Path(os.environ[FOLDER])
    kind = os.environ.get("PORTAL_PROCESS", "unknown")
    for token in sorted((root / "armed" / point).iterdir()):
        if not token.name.endswith(("any", kind)):
            continue
        with suppress(FileNotFoundError):
            token.rename(root / "killed" / point / f"{token.name}.{kind}")
            os.kill(os.getpid(), signal.SIGKILL)
            time.sleep(60)


class Arsenal:
    """The conductor's side: arms points and counts who died."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._armed: Counter[str] = Counter()
        for state in ("armed", "killed"):
            for point in POINTS:
                (folder / state / point).mkdir(parents=True)

    def arm(self, point: str, *, count: int) -> None:
        """Arm the point until it was armed `count` times in all, one at a time.

        Approvals alternate between both doors.
        """
        if self._armed[point] < count and not any((self._folder / "armed" / point).iterdir()):
            number = self._armed[point]
            process = ("command", "web")[number % 2] if point in APPROVE else "any"
            (self._folder / "armed" / point / f"{number:02d}-{process}").touch()
            self._armed[point] += 1

    def disarm(self) -> None:
        """Remove the armed files that no process took."""
        for point in POINTS:
            for token in (self._folder / "armed" / point).iterdir():
                token.unlink(missing_ok=True)

    def killed(self, point: str) -> Counter[str]:
        """How many processes died at the point, by kind of process."""
        return Counter(token.suffix[1:] for token in (self._folder / "killed" / point).iterdir())


def wrap(
    owner: ModuleType | type,
    name: str,
    *,
    before: Callable[..., None] | None = None,
    after: Callable[[Any], None] | None = None,
) -> None:
    """Replace a function of a module, with steps before (same arguments) and after (its result)."""
    original = getattr(owner, name)

    @functools.wraps(original)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        if before is not None:
            before(*args, **kwargs)
        result = original(*args, **kwargs)
        if after is not None:
            after(result)
        return result

    setattr(owner, name, wrapper)


def install_web() -> None:
    """The points of enrollment, and those of decisions on pages."""
    from approvals.enrollment import submit
    from approvals.models.requests import EnrollmentRequest

    mine = threading.local()

    def opened(answer: object) -> None:
        if isinstance(answer, EnrollmentRequest):
            mine.has_opened = True
            fire("enroll.before-commit")

    def committed(_: object) -> None:
        if mine.has_opened:
            mine.has_opened = False
            fire("enroll.after-commit")

    def begin(*_: object, **__: object) -> None:
        mine.has_opened = False

    wrap(submit, "_open", after=opened)
    wrap(submit, "submit_enrollment", before=begin, after=committed)
    install_decisions()


def install_decisions() -> None:
    """The points of an approval, by page or by command."""
    from approvals.decisions import decide
    from approvals.operations import doorbell
    from approvals.records import transitions
    from approvals.rules.states import Step
    from audit.events import Event

    def before_update(_: object, step: Step, **__: object) -> None:
        if step is Step.APPROVE:
            fire("approve.before-update")

    def before_audit(event: Event, **_: object) -> None:
        if event is Event.REQUEST_APPROVE:
            fire("approve.before-audit")

    def before_commit(entry: Any) -> None:
        if entry.event == Event.REQUEST_APPROVE.value:
            fire("approve.before-commit")

    wrap(decide, "advance", before=before_update)
    wrap(transitions, "record", before=before_audit, after=before_commit)
    wrap(doorbell, "ring_now", before=lambda *_: fire("approve.before-ring"))


def install_signing() -> None:
    """The points of issuance, the journal of signatures, and shorter waits."""

    from approvals.issuance import issue
    from approvals.records import due
    from keys.file import LoadedKey

    def fire_if(point: str) -> Callable[[Any], None]:
        return lambda result: fire(point) if result else None

    setattr(issue, "LEASE", timedelta(seconds=LEASE_SECONDS))  # noqa: B010 - a constant of the product
    setattr(due, "MAX_DELAY", timedelta(seconds=MAX_DELAY_SECONDS))  # noqa: B010 - a constant of the product
    setattr(issue, "MAX_ATTEMPTS", 1000)  # noqa: B010 - here workers die of something else than the request
    wrap(issue, "_prepare", after=fire_if("issue.before-take"))
    wrap(issue, "_take", after=fire_if("issue.take-before-commit"))
    wrap(
        issue,
        "sign_prepared",
        before=lambda *_, **__: fire("issue.after-take"),
        after=lambda _: fire("issue.after-sign"),
    )
    wrap(issue, "_record", after=fire_if("issue.record-before-commit"))
    wrap(
        issue,
        "issue_certificates",
        after=lambda result: fire("issue.before-ack") if result.issued else None,
    )
    _keep_journal(LoadedKey)


def _keep_journal(key_class: type) -> None:
    """Record each signature of a CA key outside the database: before it is made, and its value."""
    original = getattr(key_class, "sign")  # noqa: B009 - replaced by name below
    journal = Path(os.environ[FOLDER]) / "journal"

    def sign(self: Any, tbs: bytes, signature_algorithm: str) -> bytes:
        digest = hashlib.sha256(tbs).hexdigest()
        _append(journal, f"{digest}\n")
        signature: bytes = original(self, tbs, signature_algorithm)
        _append(journal, f"{digest} {hashlib.sha256(signature).hexdigest()}\n")
        return signature

    setattr(key_class, "sign", sign)  # noqa: B010 - a method of the product


def _append(path: Path, line: str) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    try:
        os.write(descriptor, line.encode())
    finally:
        os.close(descriptor)
