"""Lists of challenges: checked as a whole, delivered once, harmless in a spreadsheet."""

import csv
import io
from datetime import timedelta
from typing import Any

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.core.management import CommandError
from django.test import Client

from accounts.models.people import User
from accounts.principals import PORTAL
from accounts.roles import Role
from approvals.challenges.lists import (
    MAX_BYTES,
    ListInvalid,
    harmless,
    make_list,
    read_list,
    write_list,
)
from approvals.challenges.onetime import ChallengeOrder, create_challenges
from approvals.models.challenges import ChallengePassword
from approvals.models.profiles import EnrollmentProfile
from approvals.models.requests import EnrollmentRequest
from audit.models import AuditEntry
from database.encryption import Secret
from scep.protocol.constants import PKIStatus
from tests.pages import signed_in
from tests.pkiportal.commands import run, run_json
from tests.world import Device, World, create_person, create_profile, later, now, principal_of

LIST = (
    "common_name,dns,ip,network,serial number,for,lifetime\n"
    'r1.example,r1.example www.r1.example,192.0.2.1,,,"rack 7, left",2d\n'
    "r2.example,,,192.0.2.0/24 2001:db8::/32,FOC2,=cmd|'/c calc'!A1,\n"
)
WEEK = timedelta(days=7)


@pytest.fixture
def phones(world: World) -> EnrollmentProfile:
    """A profile with one-time challenges."""
    return create_profile(world.ca, "phones", challenge="one-time")


def rows_of(content: bytes) -> list[dict[str, str]]:
    """The rows of a CSV file as a spreadsheet reads them."""
    return list(csv.DictReader(io.StringIO(content.decode("utf-8-sig"))))


def test_each_row_becomes_a_challenge_bound_to_what_it_says(phones: EnrollmentProfile) -> None:
    start = now()
    orders = read_list(LIST.encode(), profile=phones, lifetime=WEEK)
    progress: list[int] = []
    made = make_list(orders, principal=PORTAL, now=start, progress=progress.append)
    first, second = rows_of(write_list(made))
    assert (first["row"], first["dns"], first["ip"], first["for"]) == (
        "1",
        "r1.example www.r1.example",
        "192.0.2.1",
        "rack 7, left",
    )
    assert (second["network"], second["serial_number"]) == ("192.0.2.0/24 2001:db8::/32", "FOC2")
    assert second["for"] == "'=cmd|'/c calc'!A1"
    one, two = ChallengePassword.objects.order_by("id")
    assert (one.expires_at - start, two.expires_at - start, one.origin) == (
        timedelta(days=2),
        WEEK,
        "bulk",
    )
    assert progress == [1, 2]
    device = Device.named("r1.example", profile="phones")
    assert (
        device.enroll(challenge=first["challenge"], dns_names=["r1.example"]).status
        is PKIStatus.PENDING
    )


@pytest.mark.parametrize(
    ("content", "faults"),
    [
        (b"", ["row 1: headings none not known"]),
        (
            b"name,colour\nr1,red\n",
            ["row 1: headings 'name', 'colour' not known, there are common_name"],
        ),
        (b"for,for\na,b\n", ["row 1: heading for stands there twice"]),
        (b"common_name\n", ["the list has no rows below its headings"]),
        (b"common_name\n\xff\n", ["the list is not UTF-8 text: byte 12"]),
        (b'common_name\n"r1\n', ["row 2: not CSV"]),
        (b"common_name\nr1,r2\n", ["row 2: 2 cells under 1 headings"]),
        (
            b"common_name;ip;lifetime\nr1;999;\n\nr2;;soon\nr3;;400d\nr4;192.0.2.1;1d\n",
            ["row 2: alternative name 'ip:999'", "row 4: lifetime 'soon'", "row 5: expiry"],
        ),
        (b"common_name\n" + b"x" * MAX_BYTES, [f"list of {MAX_BYTES + 12:,} bytes"]),
        (b"dns\n" + b"-\n" * 60, [*(f"row {n}:" for n in range(2, 52)), "and maybe more"]),
    ],
)
def test_a_list_with_a_fault_makes_nothing_and_names_every_row(
    phones: EnrollmentProfile, content: bytes, faults: list[str]
) -> None:
    with pytest.raises(ListInvalid) as caught:
        read_list(content, profile=phones, lifetime=WEEK)
    assert len(caught.value.faults) == len(faults)
    for fault, expected in zip(caught.value.faults, faults, strict=True):
        assert fault.startswith(expected)


def test_a_list_of_too_many_rows_is_split_by_its_maker(
    phones: EnrollmentProfile, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("approvals.challenges.lists.MAX_COUNT", 2)
    with pytest.raises(ListInvalid, match="more than 2 rows"):
        read_list(b"for\na\nb\nc\n", profile=phones, lifetime=WEEK)


def test_a_list_is_made_whole_or_not_at_all(
    phones: EnrollmentProfile, monkeypatch: pytest.MonkeyPatch
) -> None:
    orders = read_list(LIST.encode(), profile=phones, lifetime=WEEK)

    def stop(number: int) -> None:
        if number == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        make_list(orders, principal=PORTAL, now=now(), progress=stop)
    assert not ChallengePassword.objects.exists()
    assert not AuditEntry.objects.filter(event="challenge:create").exists()


@pytest.mark.parametrize("cell", ["=1+1", "+1", "-1", "@SUM(A1)", "\tx", "\rx"])
def test_no_cell_is_a_formula(cell: str) -> None:
    assert harmless(cell) == f"'{cell}"
    assert harmless(f"x{cell}") == f"x{cell}"


# ---------------------------------------------------------------------------------------- the pages


def upload(client: Client, content: str) -> Any:
    file = SimpleUploadedFile("list.csv", content.encode(), content_type="text/csv")
    return client.post("/profiles/phones/challenges/list", {"file": file, "lifetime": "7d"})


def test_the_page_answers_with_the_list_once(world: World, phones: EnrollmentProfile) -> None:
    alice = signed_in(world.alice)
    assert "CSV file" in alice.get("/profiles/phones/challenges/list").content.decode()
    answer = upload(alice, LIST)
    assert (answer["Content-Type"], "no-store" in answer["Cache-Control"]) == (
        "text/csv; charset=utf-8",
        True,
    )
    assert answer["Content-Disposition"] == 'attachment; filename="challenges-phones.csv"'
    secrets = [row["challenge"] for row in rows_of(answer.content)]
    assert {row.created_by for row in ChallengePassword.objects.all()} == {world.alice}
    page = (
        alice.get("/challenges/").content.decode()
        + alice.get("/history/requests/").content.decode()
    )
    assert not any(secret in page for secret in secrets)


def test_the_page_names_the_rows_that_cannot_be(world: World, phones: EnrollmentProfile) -> None:
    alice = signed_in(world.alice)
    answer = upload(alice, "common_name,ip\nr1,999\n")
    assert (answer.status_code, "row 2: alternative name" in answer.content.decode()) == (422, True)
    empty = alice.post("/profiles/phones/challenges/list", {"lifetime": "soon"})
    assert "Choose a CSV file." in empty.content.decode()
    assert not ChallengePassword.objects.exists()


def test_the_page_makes_one_challenge_and_shows_it_once(
    world: World, phones: EnrollmentProfile
) -> None:
    alice = signed_in(world.alice)
    form = {
        "subject": "r1.example",
        "sans": "dns:r1.example\nip:192.0.2.1",
        "created_for": "Jana",
        "lifetime": "2h",
    }
    answer = alice.post("/profiles/phones/challenges/new", form | {"count": "1"})
    ((row, secret),) = answer.context["made"]
    assert (secret.reveal() in answer.content.decode(), "no-store" in answer["Cache-Control"]) == (
        True,
        True,
    )
    assert (row.origin, row.created_by, row.sans) == (
        "page",
        world.alice,
        ["dns:r1.example", "ip:192.0.2.1"],
    )
    page = alice.get(f"/challenges/{row.pk}/").content.decode()
    assert "name r1.example" in page
    assert secret.reveal() not in page
    wrong = alice.post(
        "/profiles/phones/challenges/new", form | {"count": "1", "sans": "r1.example"}
    )
    assert "write it like dns:r1.example" in wrong.content.decode()
    assert (
        alice.post("/profiles/phones/challenges/new", form | {"count": "1000"}).status_code == 422
    )


def test_the_family_tree_leads_from_the_maker_to_the_certificate(
    world: World, phones: EnrollmentProfile
) -> None:
    bob = create_person("bob", Role.OFFICER)
    secret = made_by(bob, phones, subject="d1.example", created_for="Jana")
    Device.named("d1.example", "device-1", "phones").enroll(challenge=secret.reveal())
    request, row = EnrollmentRequest.objects.get(), ChallengePassword.objects.get()
    auditor = signed_in(create_person("carla", Role.AUDITOR))
    page = auditor.get(f"/challenges/{row.pk}/").content.decode()
    for part in (
        "Bob",
        "Jana",
        "name d1.example",
        f"/requests/{request.pk}/",
        "Challenge used",
        "127.0.0.1",
    ):
        assert part in page, part
    assert f"/challenges/{row.pk}/" in auditor.get(f"/requests/{request.pk}/").content.decode()
    assert "Withdraw it" not in page


def test_a_challenge_is_withdrawn_on_its_page(world: World, phones: EnrollmentProfile) -> None:
    made_by(world.alice, phones)
    row, alice = ChallengePassword.objects.get(), signed_in(world.alice)
    assert "Withdraw it" in alice.get(f"/challenges/{row.pk}/").content.decode()
    assert (
        "opens nothing any more"
        in alice.post(f"/challenges/{row.pk}/withdraw", follow=True).content.decode()
    )
    assert (
        "withdrawn already"
        in alice.post(f"/challenges/{row.pk}/withdraw", follow=True).content.decode()
    )


def made_by(user: User, profile: EnrollmentProfile, **order: Any) -> Secret:
    return create_challenges(
        ChallengeOrder(profile, **order), principal=principal_of(user), now=now()
    )[0][1]


def test_the_list_is_filtered_and_paged(world: World, phones: EnrollmentProfile) -> None:
    for number in range(60):
        made_by(world.alice, phones, subject=f"r{number}.example")
    oldest, newest = (
        ChallengePassword.objects.earliest("id"),
        ChallengePassword.objects.latest("id"),
    )
    ChallengePassword.objects.filter(pk=oldest.pk).update(expires_at=later(seconds=-1))
    Device.named("r59.example", profile="phones").enroll(challenge="wrong")
    alice = signed_in(world.alice)

    def shown(query: str) -> list[str]:
        return [row.subject for row in alice.get(f"/challenges/{query}").context["page"].rows]

    assert (len(shown("")), shown("")[0]) == (50, "r59.example")
    page = alice.get("/challenges/").context["page"]
    assert len(shown(f"?after={page.next}")) == 10
    assert shown("?state=expired") == ["r0.example"]
    assert shown("?state=used") == []
    assert shown("?state=withdrawn") == []
    assert len(shown("?state=unused&profile=phones&origin=command&mine=true&period=1h")) == 50
    assert shown("?origin=api") == []
    assert shown("?q=r7.example") == ["r7.example"]
    assert shown(f"?q={newest.pk}") == ["r59.example"]
    assert shown("?q=nothing") == []


# --------------------------------------------------------------------------------------- by command


def test_the_command_makes_lists_shows_and_withdraws(
    world: World, phones: EnrollmentProfile, tmp_path: Any
) -> None:
    file = tmp_path / "devices.csv"
    file.write_text(LIST)
    rows = rows_of(run("challenges", "make", "phones", str(file), "--officer", "alice").encode())
    assert len({row["challenge"] for row in rows}) == 2
    listed = run_json("challenges", "list", "--profile", "phones")
    assert [(row["state"], row["created_by"], row["origin"]) for row in listed] == [
        ("unused", "alice", "bulk")
    ] * 2
    one = run_json("challenges", "show", rows[0]["id"])
    assert one["bound_to"] == [
        "name r1.example",
        "dns:r1.example",
        "dns:www.r1.example",
        "ip:192.0.2.1",
    ]
    assert run_json("challenges", "withdraw", rows[0]["id"]) == [
        {"id": rows[0]["id"], "state": "withdrawn"}
    ]
    assert run_json("challenges", "show", rows[0]["id"])["state"] == "withdrawn"
    file.write_text("common_name,ip\nr1,999\n")
    for arguments, words in (
        (("make", "phones", str(file)), "row 2: alternative name 'ip:999'"),
        (("make", "phones", str(tmp_path / "none")), "cannot be read: No such file"),
        (("show", "0199f0f0-0000-7000-8000-000000000000"), "not known"),
        (("withdraw", rows[0]["id"]), "used or withdrawn already"),
        (("reveal", "phones"), "no static challenge is set"),
    ):
        with pytest.raises(CommandError, match=words):
            run("challenges", *arguments)


def test_the_command_rotates_and_reveals_a_static_challenge(world: World, tmp_path: Any) -> None:
    create_profile(
        world.ca, "printers", challenge="static", static_challenge="the old secret of the printers"
    )
    file = tmp_path / "new.txt"
    file.write_text("the new secret of the printers\n")
    document = run_json(
        "challenges", "rotate", "printers", "--secret-file", str(file), "--overlap", "7d"
    )
    assert document["old_until"] is not None
    assert run("challenges", "reveal", "printers").strip() == "the new secret of the printers"
    assert AuditEntry.objects.get(event="challenge:reveal").actor_kind == "command"
    shown = run_json("challenges", "show", document["id"])
    assert (shown["kind"], shown["state"], shown["requests"]) == ("static", "taken", 0)
