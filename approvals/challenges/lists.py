"""Lists of one-time challenges: one CSV in, checked as a whole, one CSV out, once.

Several values in one cell are separated by blanks. The result is not stored: only the caller has
it.
"""

import csv
import io
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from django.db import transaction

from accounts.principals import Principal
from approvals.challenges.onetime import MAX_COUNT, ChallengeOrder, create_challenges
from approvals.models.challenges import ChallengeOrigin, ChallengePassword
from approvals.models.profiles import EnrollmentProfile
from approvals.rules.errors import ApprovalsError, ChallengeInvalid
from database.encryption import Secret

SAN_COLUMNS: Final = ("dns", "ip", "email", "uri", "upn")
COLUMNS: Final = (
    "common_name",
    "subject",
    "serial_number",
    *SAN_COLUMNS,
    "network",
    "for",
    "lifetime",
)
MAX_BYTES: Final = 4 * 1024 * 1024
MAX_ERRORS: Final = 50
_FORMULA: Final = ("=", "+", "-", "@", "\t", "\r")
_LIFETIME: Final = re.compile(r"([1-9][0-9]{0,8})([smhd])")
_UNITS: Final = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}

Progress = Callable[[int], None]


class ListInvalid(ApprovalsError):
    """A refused list; `faults` are sentences, each with its row number."""

    def __init__(self, faults: Sequence[str]) -> None:
        super().__init__("\n".join(faults))
        self.faults = tuple(faults)


@dataclass(frozen=True, slots=True)
class ListedChallenge:
    """One row of the result."""

    row: int
    challenge: ChallengePassword
    secret: Secret


def read_list(
    content: bytes, *, profile: EnrollmentProfile, lifetime: timedelta
) -> list[ChallengeOrder]:
    """Return the orders of a CSV list. Raises ListInvalid naming every fault.

    `lifetime` applies to rows without their own.
    """
    orders: list[ChallengeOrder] = []
    faults: list[str] = []
    for number, row in _rows(content):
        try:
            order = _order(row, profile=profile, lifetime=lifetime)
            order.check()
            orders.append(order)
        except ChallengeInvalid as error:
            faults.append(f"row {number}: {error}")
        if len(faults) >= MAX_ERRORS:
            faults.append("and maybe more: the rest was not looked at")
            break
    if faults:
        raise ListInvalid(faults)
    if not orders:
        raise ListInvalid(["the list has no rows below its headings"])
    return orders


def make_list(
    orders: Sequence[ChallengeOrder],
    *,
    principal: Principal,
    now: datetime,
    progress: Progress = lambda _: None,
) -> list[ListedChallenge]:
    """Create every challenge of a list, all or none; `progress` gets the number of rows done."""
    created: list[ListedChallenge] = []
    with transaction.atomic():
        for number, order in enumerate(orders, start=1):
            ((challenge, secret),) = create_challenges(order, principal=principal, now=now)
            created.append(ListedChallenge(number, challenge, secret))
            progress(number)
    return created


def write_list(created: Sequence[ListedChallenge]) -> bytes:
    """Return the result as CSV, UTF-8 with a byte order mark, without formulas for spreadsheets."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\r\n")
    writer.writerow(["row", "challenge", "expires_at", "id", *COLUMNS[:-1]])
    for item in created:
        row = item.challenge
        sans = {kind: " ".join(_of_kind(row.sans, kind)) for kind in SAN_COLUMNS}
        bound = [
            row.subject,
            row.subject_dn,
            row.serial_number,
            *sans.values(),
            " ".join(row.networks),
        ]
        cells = [
            item.secret.reveal(),
            f"{row.expires_at:%Y-%m-%dT%H:%M:%SZ}",
            str(row.pk),
            *bound,
            row.created_for,
        ]
        writer.writerow([item.row, *map(harmless, cells)])
    return b"\xef\xbb\xbf" + text.getvalue().encode()


def harmless(cell: str) -> str:
    """Return a cell that no spreadsheet runs as a formula."""
    return f"'{cell}" if cell.startswith(_FORMULA) else cell


def _meant(cell: str) -> str:
    """Return the content of a cell before `harmless`, so that the portal can read its own lists."""
    text = cell.strip()
    return text[1:] if text.startswith("'") and text[1:].startswith(_FORMULA) else text


def read_lifetime(text: str) -> timedelta:
    """Parse `90s`, `30m`, `1h` or `7d`. Raises ChallengeInvalid."""
    match = _LIFETIME.fullmatch(text.strip())
    if match is None:
        raise ChallengeInvalid(f"lifetime {text!r}: write it like 90s, 30m, 1h or 7d")
    return timedelta(**{_UNITS[match[2]]: int(match[1])})


def read_table(content: bytes, columns: Sequence[str]) -> Iterator[tuple[int, Mapping[str, str]]]:
    """Yield the rows of a CSV file with their line numbers, headings as in `columns`.

    Raises ListInvalid.
    """
    if len(content) > MAX_BYTES:
        raise ListInvalid([f"list of {len(content):,} bytes: at most {MAX_BYTES:,}"])
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ListInvalid([f"the list is not UTF-8 text: byte {error.start}"]) from error
    if "\0" in text:
        raise ListInvalid(["the list is not text: it has NUL characters"])
    delimiter = (
        ";" if text.partition("\n")[0].count(";") > text.partition("\n")[0].count(",") else ","
    )
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    try:
        headings = [cell.strip().lower().replace(" ", "_") for cell in next(reader, [])]
        _check_headings(headings, columns)
        for cells in reader:
            if any(cell.strip() for cell in cells):
                yield reader.line_num, _row(headings, cells, reader.line_num)
    except csv.Error as error:
        raise ListInvalid([f"row {reader.line_num}: not CSV: {error}"]) from error


def _rows(content: bytes) -> Iterator[tuple[int, Mapping[str, str]]]:
    for count, (number, row) in enumerate(read_table(content, COLUMNS), start=1):
        if count > MAX_COUNT:
            raise ListInvalid([f"more than {MAX_COUNT:,} rows: split the list"])
        yield number, row


def _check_headings(headings: Sequence[str], columns: Sequence[str]) -> None:
    foreign = [name for name in headings if name not in columns]
    doubled = {name for name in headings if headings.count(name) > 1}
    if not headings or foreign:
        names = ", ".join(map(repr, foreign[:5])) or "none"
        raise ListInvalid([f"row 1: headings {names} not known, there are {', '.join(columns)}"])
    if doubled:
        raise ListInvalid([f"row 1: heading {', '.join(sorted(doubled))} stands there twice"])


def _row(headings: Sequence[str], cells: Sequence[str], number: int) -> Mapping[str, str]:
    if len(cells) > len(headings):
        raise ListInvalid([f"row {number}: {len(cells)} cells under {len(headings)} headings"])
    return dict(zip(headings, map(_meant, cells), strict=False))


def _order(
    row: Mapping[str, str], *, profile: EnrollmentProfile, lifetime: timedelta
) -> ChallengeOrder:
    return ChallengeOrder(
        profile,
        lifetime=read_lifetime(row["lifetime"]) if row.get("lifetime") else lifetime,
        subject=row.get("common_name", ""),
        subject_dn=row.get("subject", ""),
        serial_number=row.get("serial_number", ""),
        sans=[f"{kind}:{value}" for kind in SAN_COLUMNS for value in row.get(kind, "").split()],
        networks=row.get("network", "").split(),
        created_for=row.get("for", ""),
        origin=ChallengeOrigin.BULK,
    )


def _of_kind(sans: Sequence[str], kind: str) -> list[str]:
    return [san.partition(":")[2] for san in sans if san.startswith(f"{kind}:")]
