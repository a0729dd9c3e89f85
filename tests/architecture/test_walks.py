"""The walks in `docs/architecture.md` are the ways that real requests take."""

import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType

import pytest
from django.urls import reverse

from approvals.decisions.review_digest import review_digest
from approvals.models.requests import EnrollmentRequest
from approvals.tasks import issue_certificates
from scep.protocol.constants import PKIStatus
from tests.architecture.measures import ROOT
from tests.pages import signed_in
from tests.world import Device, World

STOP = re.compile(r"^(\d+)\. `([\w/]+\.py)` `(\w+)`: ([^.]+)\.$", re.MULTILINE)
MOST_STOPS = 12


@dataclass(frozen=True, slots=True)
class Stop:
    """A function that a walk passes."""

    file: str
    function: str


def walk(title: str) -> list[Stop]:
    """Return the stops of the walk under a heading of the document."""
    text = (ROOT / "docs/architecture.md").read_text()
    section = text.partition(f"\n## {title}\n")[2].partition("\n## ")[0]
    stops = [Stop(file, function) for _, file, function, _ in STOP.findall(section)]
    assert len(stops) == len(re.findall(r"^\d+\. ", section, re.MULTILINE)), "one sentence a stop"
    return stops


@contextmanager
def passed() -> Iterator[list[Stop]]:
    """Note the functions of the product that are called meanwhile, each once, in order."""
    calls: dict[Stop, None] = {}

    def note(frame: FrameType, event: str, _: object) -> None:
        if event == "call" and frame.f_code.co_filename.startswith(f"{ROOT}/"):
            file = frame.f_code.co_filename.removeprefix(f"{ROOT}/")
            calls.setdefault(Stop(file, frame.f_code.co_name))

    stops: list[Stop] = []
    before = sys.getprofile()
    sys.setprofile(note)
    try:
        yield stops
    finally:
        sys.setprofile(before)
        stops.extend(calls)


@pytest.fixture
def waiting(world: World) -> tuple[Device, EnrollmentRequest]:
    """A device whose request waits for an officer."""
    device = Device.named("r1.example")
    assert device.enroll().status is PKIStatus.PENDING
    return device, EnrollmentRequest.objects.get()


@pytest.mark.usefixtures("world")
def test_a_request_comes_and_waits() -> None:
    stops = walk("A request comes and waits")
    device = Device.named("r1.example")
    with passed() as calls:
        assert device.enroll().status is PKIStatus.PENDING
    assert [stop for stop in calls if stop in stops] == stops
    assert len(stops) <= MOST_STOPS


def test_an_officer_approves_and_the_device_polls(
    world: World,
    waiting: tuple[Device, EnrollmentRequest],
) -> None:
    stops = walk("An officer approves, and the device polls")
    device, request = waiting
    form = {"comment": "", "view_sha256": review_digest(request)}
    officer = signed_in(world.alice)
    with passed() as calls:
        officer.post(reverse("request_approve", args=[request.pk]), form)
        issue_certificates(request_ids=[str(request.pk)])
        assert device.poll().status is PKIStatus.SUCCESS
    assert [stop for stop in calls if stop in stops] == stops
    assert len(stops) <= MOST_STOPS
