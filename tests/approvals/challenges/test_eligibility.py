"""Expected devices instead of a challenge: listed, once each, in time; and missing ones."""

import threading
from functools import partial
from typing import Any

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.core.management import CommandError
from django.db import IntegrityError, connection, transaction

from accounts.models.people import Department
from accounts.principals import PORTAL
from accounts.roles import Role
from approvals.challenges.device_groups import (
    add_devices,
    create_group,
    remove_silent,
    write_silent,
)
from approvals.challenges.eligibility import normalized_mac
from approvals.challenges.lists import ListInvalid
from approvals.challenges.onetime import ChallengeOrder, create_challenges
from approvals.decisions.decide import reject_request
from approvals.models.devices import DeviceGroup, ExpectedDevice
from approvals.models.profiles import EnrollmentProfile
from approvals.models.requests import EnrollmentRequest
from approvals.rules.errors import ChallengeInvalid, NotPermitted, ProfileInvalid
from approvals.rules.states import State
from audit.models import AuditEntry
from ca.models.certificates import Certificate
from ca.x509.names import build_name
from scep.protocol.constants import FailInfo, PKIStatus
from tests.approvals.enrollment.renewing import NAME, allow, certified, renew
from tests.ca.forge import challenge, request_der
from tests.flows.wire import causes, message, post, refused
from tests.pages import signed_in
from tests.pki import rsa_key
from tests.pkiportal.commands import run, run_json
from tests.world import (
    Device,
    World,
    create_person,
    create_profile,
    later,
    now,
    principal_of,
    run_worker,
    without_triggers,
)

UNIFORM = "request not permitted"
LOOPBACK = ["127.0.0.0/8"]


@pytest.fixture
def switches(world: World) -> DeviceGroup:
    return create_group("switches", department=None, principal=PORTAL, now=now())


def expect(group: DeviceGroup, *rows: str, columns: str = "serial_number,mac,name") -> int:
    """Put devices on the list."""
    content = "\n".join([columns, *rows]).encode()
    return add_devices(group, content, principal=PORTAL, now=now())


def listed_profile(world: World, group: DeviceGroup, **changes: Any) -> EnrollmentProfile:
    return create_profile(world.ca, "access", eligibility=group, **changes)


def csr(world: World, **subject: str) -> bytes:
    return message(world, request_der(build_name(list(subject.items()))))


@pytest.mark.parametrize(
    ("row", "subject", "cause"),
    [
        ("FOC1,,", {"CN": "anything", "serialNumber": "foc1"}, None),
        (",00:1B:44:11:3A:B7,", {"CN": "001b.4411.3ab7"}, None),
        (",001b44113ab7,", {"CN": "ap", "serialNumber": "00-1b-44-11-3a-b7"}, None),
        (",,AP1.example", {"CN": "ap1.example"}, None),
        ("FOC1,,ap1.example", {"CN": "ap1.example", "serialNumber": "FOC1"}, None),
        (
            "FOC1,,ap1.example",
            {"CN": "dc1.example", "serialNumber": "FOC1"},
            "device not on the list",
        ),
        ("FOC1,,ap1.example", {"CN": "ap1.example"}, "device not on the list"),
        ("FOC1,,", {"CN": "FOC1"}, "device not on the list"),
        (",001b44113ab7,", {"CN": "001b44113ab8"}, "device not on the list"),
        (",,ap1.example", {"CN": "ap1.example", "UID": "admin"}, "device not on the list"),
        (
            ",,ap1.example",
            {"CN": "ap1.example", "unstructuredName": "dc1.example"},
            "device not on the list",
        ),
        ("FOC1,,ap1.example", {"CN": "ap1.example", "unstructuredName": "FOC1"}, None),
        (
            "FOC1,,ap1.example",
            {"CN": "ap1.example", "unstructuredName": "FOC2"},
            "device not on the list",
        ),
    ],
)
def test_a_request_comes_from_a_listed_device_or_is_refused(
    world: World, switches: DeviceGroup, row: str, subject: dict[str, str], cause: str | None
) -> None:
    expect(switches, row)
    listed_profile(world, switches)
    if cause is None:
        assert post(csr(world, **subject), "access").status is PKIStatus.PENDING
        request = EnrollmentRequest.objects.get()
        assert ExpectedDevice.objects.get().used_by == request
        assert request.findings[-1]["code"] == "expected"
    else:
        refused(csr(world, **subject), FailInfo.BAD_REQUEST, UNIFORM, cause=cause, profile="access")


def test_a_second_serial_number_is_that_of_another_device(
    world: World, switches: DeviceGroup
) -> None:
    expect(switches, "FOC1,,", "FOC2,001b44113ab7,")
    listed_profile(world, switches)
    for foreign in ("FOC9", "FOC2"):
        twice = build_name(
            [("CN", "anything"), ("serialNumber", "FOC1"), ("serialNumber", foreign)]
        )
        sent = message(world, request_der(twice))
        refused(
            sent, FailInfo.BAD_REQUEST, UNIFORM, cause="device not on the list", profile="access"
        )
    both = build_name([("serialNumber", "00:1b:44:11:3a:b7"), ("unstructuredName", "FOC2")])
    assert post(message(world, request_der(both)), "access").status is PKIStatus.PENDING


def test_a_name_that_the_database_cannot_hold_is_on_no_list(
    world: World, switches: DeviceGroup
) -> None:
    expect(switches, "FOC1,,ap1.example")
    listed_profile(world, switches)
    for subject in (
        {"CN": "ap1.example\0"},
        {"CN": "ap1.example", "serialNumber": "FOC1", "unstructuredName": "\0"},
    ):
        refused(
            csr(world, **subject),
            FailInfo.BAD_REQUEST,
            UNIFORM,
            cause="device not on the list",
            profile="access",
        )
    phones = create_profile(world.ca, "phones", challenge="one-time")
    order = ChallengeOrder(phones, group=switches)
    ((_, secret),) = create_challenges(order, principal=PORTAL, now=now())
    sent = message(
        world, request_der(build_name([("CN", "ap1.example\0")]), challenge(secret.reveal()))
    )
    foreign = "challenge bound to another device group"
    refused(sent, FailInfo.BAD_REQUEST, UNIFORM, cause=foreign, profile="phones")


@pytest.mark.parametrize("content", [b"name\nap1\0.example", b"name,note\nap1.example,\0"])
def test_a_list_with_a_character_that_no_text_has_is_refused(
    switches: DeviceGroup, content: bytes
) -> None:
    with pytest.raises(ListInvalid, match="the list is not text: it has NUL characters"):
        add_devices(switches, content, principal=PORTAL, now=now())


def test_each_listed_device_enrolls_once_and_again_after_a_rejection(
    world: World, switches: DeviceGroup
) -> None:
    expect(switches, ",,d1.example")
    listed_profile(world, switches)
    assert Device.named("d1.example", "device-1", "access").enroll().status is PKIStatus.PENDING
    assert Device.named("d1.example", "device-2", "access").enroll().status is PKIStatus.FAILURE
    assert causes() == ["device on the list has enrolled already"]
    first = EnrollmentRequest.objects.get()
    reject_request(
        request_id=first.pk, principal=principal_of(world.alice), comment="wrong key", now=now()
    )
    assert Device.named("d1.example", "device-3", "access").enroll().status is PKIStatus.PENDING
    assert ExpectedDevice.objects.get().used_by == EnrollmentRequest.objects.latest("id")


def test_a_device_calls_within_its_time_or_is_refused(world: World, switches: DeviceGroup) -> None:
    tomorrow, yesterday = (f"{later(days=days):%Y-%m-%dT%H:%MZ}" for days in (1, -1))
    expect(
        switches, f"d1.example,{tomorrow},", f"d2.example,,{yesterday}",
        f"d3.example,{yesterday},{tomorrow}",
        columns="name,not_before,not_after",
    )  # fmt: skip
    listed_profile(world, switches)
    for number, status in ((1, PKIStatus.FAILURE), (2, PKIStatus.FAILURE), (3, PKIStatus.PENDING)):
        assert (
            Device.named(f"d{number}.example", f"device-{number}", "access").enroll().status
            is status
        )
    assert set(causes()) == {"device on the list, outside its time"}


def test_who_is_not_listed_may_be_shown_to_an_officer_instead(
    world: World, switches: DeviceGroup
) -> None:
    expect(switches, ",,d1.example")
    listed_profile(world, switches, unlisted="officer", approval="automatic", networks=LOOPBACK)
    assert Device.named("d9.example", "device-1", "access").enroll().status is PKIStatus.PENDING
    request = EnrollmentRequest.objects.get()
    assert (request.state, request.findings[-1]["code"]) == (State.PENDING, "not-expected")
    page = signed_in(world.alice).get(f"/requests/{request.pk}/").content.decode()
    assert "list switches: device not on the list" in page


@pytest.mark.usefixtures("no_waiting")
def test_an_automatic_profile_approves_only_devices_listed_with_their_name(
    world: World, switches: DeviceGroup
) -> None:
    expect(switches, "FOC1,,d1.example", "FOC2,,")
    listed_profile(world, switches, approval="automatic", networks=LOOPBACK)
    post(csr(world, CN="d1.example", serialNumber="FOC1"), "access")
    assert EnrollmentRequest.objects.get().state == State.APPROVED
    assert len(run_worker().issued) == 1
    nameless = request_der(
        build_name([("CN", "dc1.example"), ("serialNumber", "FOC2")]), key=rsa_key("bob")
    )
    post(message(world, nameless, key="bob"), "access")
    assert EnrollmentRequest.objects.latest("id").state == State.PENDING


@pytest.mark.usefixtures("no_waiting")
def test_the_worker_signs_nothing_for_which_the_list_was_forged(
    world: World, switches: DeviceGroup
) -> None:
    expect(switches, ",,d1.example")
    listed_profile(world, switches, approval="automatic", networks=LOOPBACK)
    Device.named("d1.example", "device-1", "access").enroll()
    with without_triggers():
        ExpectedDevice.objects.update(used_by=None, used_at=None)
    assert run_worker().issued == []
    assert not Certificate.objects.filter(kind="ordered").exists()


@pytest.mark.parametrize("changes", [{}, {"networks": LOOPBACK}, {"eligibility": True}])
def test_no_challenge_and_automatic_needs_a_list_and_networks(
    world: World, switches: DeviceGroup, changes: dict[str, Any]
) -> None:
    if "eligibility" in changes:
        changes = {"eligibility": switches}
    with pytest.raises(
        ProfileInvalid, match="only together with approval manual, or with devices and networks"
    ):
        create_profile(world.ca, "access", approval="automatic", **changes)
    profile = create_profile(world.ca, "access", **changes)
    with pytest.raises(IntegrityError), transaction.atomic():
        EnrollmentProfile.objects.filter(pk=profile.pk).update(approval="automatic")


def test_a_profile_has_a_list_or_a_challenge_and_never_both(
    world: World, switches: DeviceGroup
) -> None:
    with pytest.raises(ProfileInvalid, match="stands instead of a challenge"):
        create_profile(world.ca, "access", challenge="one-time", eligibility=switches)


@pytest.mark.usefixtures("no_waiting")
def test_a_renewal_needs_no_list(world: World, switches: DeviceGroup) -> None:
    """It is signed with a certificate of the portal."""
    allow(world)
    old = certified(world, Device.named(NAME))
    EnrollmentProfile.objects.filter(pk=world.profile.pk).update(eligibility=switches)
    assert Device.named("r2.example", "device-1").enroll().status is PKIStatus.FAILURE
    assert renew(old).status is PKIStatus.PENDING
    assert EnrollmentRequest.objects.latest("id").state == State.APPROVED


@pytest.mark.usefixtures("transactional_db")
def test_one_place_on_the_list_taken_by_many_at_once_opens_one_request(
    world: World, switches: DeviceGroup
) -> None:
    expect(switches, ",,d1.example")
    listed_profile(world, switches)
    devices = [Device.named("d1.example", f"device-{number}", "access") for number in range(1, 5)]
    for device in devices:
        device.scep.get_ca_cert()
    gate, answers = threading.Barrier(len(devices)), []

    def run_one(device: Device) -> None:
        try:
            gate.wait()
            answers.append(device.enroll().status.name)
        finally:
            connection.close()

    threads = [threading.Thread(target=run_one, args=(device,)) for device in devices]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(answers) == ["FAILURE"] * 3 + ["PENDING"]
    assert EnrollmentRequest.objects.count() == 1


def test_a_challenge_bound_to_a_group_serves_its_devices_only(
    world: World, switches: DeviceGroup
) -> None:
    expect(switches, "FOC1,,")
    phones = create_profile(world.ca, "phones", challenge="one-time")
    ((row, secret),) = create_challenges(
        ChallengeOrder(phones, group=switches), principal=PORTAL, now=now()
    )
    text = secret.reveal()
    assert row.phrases() == ["device group switches"]
    foreign = request_der(build_name([("CN", "r1"), ("serialNumber", "FOC2")]), challenge(text))
    cause = "challenge bound to another device group"
    refused(message(world, foreign), FailInfo.BAD_REQUEST, UNIFORM, cause=cause, profile="phones")
    right = request_der(build_name([("CN", "r1"), ("serialNumber", "FOC1")]), challenge(text))
    assert post(message(world, right), "phones").status is PKIStatus.PENDING
    assert ExpectedDevice.objects.get().used_by is None


# ---------------------------------------------------------------------------------------- the lists


@pytest.mark.parametrize(
    ("text", "digits"),
    [
        ("00:1B:44:11:3A:B7", "001b44113ab7"),
        ("00-1b-44-11-3a-b7", "001b44113ab7"),
        ("001b.4411.3ab7", "001b44113ab7"),
        (" 001B44113AB7 ", "001b44113ab7"),
        ("00:1b-44:11:3a:b7", None),
        ("00:1b:44:11:3a", None),
        ("00:1b:44:11:3a:b7:00", None),
        ("router", None),
    ],
)
def test_a_mac_address_is_read_in_any_usual_spelling(text: str, digits: str | None) -> None:
    assert normalized_mac(text) == digits


def test_a_list_with_a_fault_adds_nothing_and_names_every_row(switches: DeviceGroup) -> None:
    rows = [
        "FOC1,,,,", "FOC2,xx,,,", ",,,,", "FOC3,,,soon,", "FOC4,,,2026-02-01,2026-01-01",
        "x" * 65 + ",,,,",
        "FOC5,,,2026-99-99,",
    ]  # fmt: skip
    with pytest.raises(ListInvalid) as caught:
        expect(switches, *rows, columns="serial_number,mac,name,not_before,not_after")
    starts = [
        "row 3: MAC address 'xx'",
        "row 5: time 'soon'",
        "row 6: not_after",
        "row 7: serial number of 65",
        "row 8",
    ]
    assert [
        fault[: len(start)] for fault, start in zip(caught.value.faults, starts, strict=True)
    ] == starts
    with pytest.raises(ListInvalid, match="no rows"):
        expect(switches)
    assert not ExpectedDevice.objects.exists()


def test_what_is_listed_already_is_left_alone_and_who_never_called_can_be_read_back(
    world: World, switches: DeviceGroup
) -> None:
    assert expect(switches, "FOC1,,d1.example", ",00:1b:44:11:3a:b7,") == 2
    assert expect(switches, "foc1,,D1.example", "FOC3,,") == 1
    listed_profile(world, switches)
    post(csr(world, CN="d1.example", serialNumber="FOC1"), "access")
    silent = write_silent(switches)
    assert silent.decode("utf-8-sig").splitlines()[1:] == [",001b44113ab7,,,,", "foc3,,,,,"]
    assert add_devices(switches, silent, principal=PORTAL, now=now()) == 0
    expect(switches, "-7,,@lab", columns="serial_number,mac,note")
    silent = write_silent(switches)
    assert b"'-7,,,'@lab,," in silent, "no spreadsheet runs it"
    assert add_devices(switches, silent, principal=PORTAL, now=now()) == 0
    ExpectedDevice.objects.get(serial_number="-7").delete()
    assert remove_silent(switches, principal=PORTAL, now=now()) == 2
    assert ExpectedDevice.objects.get().used_by is not None
    events = (
        AuditEntry.objects.filter(subject_kind="device-group")
        .order_by("id")
        .values_list("event", flat=True)
    )
    assert list(events)[:2] == ["device-group:create", "device-group:add"]


def test_only_administrators_change_a_group(world: World) -> None:
    north = Department.objects.create(slug="north", name="North")
    charlie = create_person("charlie", Role.ADMINISTRATOR, department=north)
    with pytest.raises(NotPermitted):
        create_group("all", department=None, principal=principal_of(charlie), now=now())
    group = create_group("north", department=north, principal=principal_of(charlie), now=now())
    with pytest.raises(ChallengeInvalid, match="one of that name already"):
        create_group("north", department=north, principal=principal_of(charlie), now=now())
    for change in (remove_silent, lambda group, **who: add_devices(group, b"name\nr1\n", **who)):
        with pytest.raises(NotPermitted):
            change(group, principal=principal_of(world.alice), now=now())


def test_the_pages_take_a_list_and_show_who_called(world: World) -> None:
    charlie = signed_in(create_person("charlie", Role.ADMINISTRATOR))
    assert charlie.post("/devices/", {"slug": "a b"}).status_code == 422
    assert (
        charlie.post("/devices/", {"slug": "switches"}).headers["Location"] == "/devices/switches/"
    )
    assert charlie.post("/devices/", {"slug": "switches"}).status_code == 422

    def upload(content: str) -> Any:
        file = SimpleUploadedFile("list.csv", content.encode())
        return charlie.post("/devices/switches/add", {"file": file}, follow=True)

    assert "row 2: MAC address" in upload("mac\nxx\n").content.decode()
    assert (
        "2 new devices are expected"
        in upload("name,note\nd1.example,rack 7\nd2.example,\n").content.decode()
    )
    listed_profile(world, DeviceGroup.objects.get())
    Device.named("d1.example", "device-1", "access").enroll()

    def shown(query: str) -> list[str]:
        rows = signed_in(world.alice).get(f"/devices/switches/{query}").context["page"].rows
        return [row.name for row in rows]

    assert shown("") == ["d2.example", "d1.example"]
    assert (shown("?state=silent"), shown("?state=called")) == (["d2.example"], ["d1.example"])
    assert (shown("?q=D1.example"), shown("?q=none"), shown("?q=%00x")) == (["d1.example"], [], [])
    assert "switches" in charlie.get("/devices/").content.decode()
    assert "/devices/switches/" in charlie.get("/profiles/").content.decode()
    assert b"d2.example" in charlie.get("/devices/switches/never-called.csv").content


@pytest.mark.usefixtures("no_waiting")
def test_the_command_makes_fills_and_empties_groups(world: World, tmp_path: Any) -> None:
    Department.objects.create(slug="north", name="North")
    assert run_json("devices", "create", "aps", "--department", "north") == {"group": "aps"}
    file = tmp_path / "aps.csv"
    file.write_text("name\nd1.example\nd2.example\n")
    assert run_json("devices", "add", "aps", str(file)) == {"group": "aps", "added": 2}
    run("createprofile", "access", "--ca", "issuing", "--approval", "automatic", "--challenge",
    "none", "--devices",
        "aps", "--network", "127.0.0.0/8")  # fmt: skip
    Device.named("d1.example", "device-1", "access").enroll()
    called, silent = run_json("devices", "list", "aps")
    assert (called["request"] is not None, silent["used_at"]) == (True, None)
    assert run("devices", "silent", "aps").splitlines()[1] == ",,d2.example,,,"
    assert run_json("devices", "groups") == [{"group": "aps", "expected": 2, "silent": 1}]
    assert "never" in run("devices", "list", "aps")
    assert run_json("devices", "remove", "aps") == {"group": "aps", "removed": 1}
    for arguments in (
        ("add", "none", "x"),
        ("add", "aps", str(tmp_path / "x")),
        ("create", "y", "--department", "z"),
    ):
        with pytest.raises(CommandError):
            run("devices", *arguments)


def test_a_group_of_a_name_that_exists_is_refused_in_words(world: World) -> None:
    make = partial(create_group, "switches", department=None, principal=PORTAL, now=now())
    make()
    with pytest.raises(ChallengeInvalid, match="there is one of that name already"):
        make()
    assert DeviceGroup.objects.filter(slug="switches").count() == 1
