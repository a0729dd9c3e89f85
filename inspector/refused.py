"""The audit entries behind a refusal number, for people who may see the requests."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from approvals.models.requests import EnrollmentRequest, RefusalNumber
from approvals.reading.timeline import moments


@dataclass(frozen=True, slots=True)
class RefusalShown:
    """One refusal as a page shows it. `text` is sent to the device, without the number."""

    at: datetime
    cause: str
    device: str
    detail: str
    text: str
    profile: str
    address: str
    request: EnrollmentRequest | None


def shown(rows: Iterable[RefusalNumber]) -> list[RefusalShown]:
    """Return the refusals of some numbers, with their facts from the log."""
    return [_shown(row) for row in rows]


def _shown(row: RefusalNumber) -> RefusalShown:
    data = row.entry.data if row.entry else {}
    (moment,) = moments([row.entry]) if row.entry else (None,)
    request, text = row.request, str(data.get("text", ""))
    device = str(data.get("subject", "")) or ", ".join(data.get("names", []))
    if request is not None and not data.get("cause"):  # the request itself ended in this refusal
        text = request.reason
    return RefusalShown(
        at=row.at,
        cause=str(data.get("cause", "")).partition(": ")[2]
        or (moment.what if moment else "request refused"),
        device=device or (request.subject if request else ""),
        detail=str(data.get("detail", "")),
        text=text,
        profile=row.profile.slug,
        address=moment.address if moment else "",
        request=request,
    )
