"""Which pages take files, and whose."""

from typing import Any

import pytest
from django.contrib.auth.models import AnonymousUser
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client, RequestFactory

from accounts.models.people import User

PATHS = {
    "/profiles/routers/challenges/list": True,
    "/devices/routers/add": True,
    "/account/login/": False,
    "/queue/decide": False,
    "/inspector/": False,
    "/profiles/routers/challenges/lists": False,
    "/admin/login/": False,
}


@pytest.mark.parametrize(("path", "takes_files"), PATHS.items())
def test_a_file_is_kept_on_the_pages_of_lists_from_people_who_are_signed_in(
    rf: RequestFactory, path: str, *, takes_files: bool
) -> None:
    for user, is_kept in (
        (User(username="alice"), takes_files),
        (AnonymousUser(), False),
        (None, False),
    ):
        request = rf.post(
            path, {"file": SimpleUploadedFile("list.csv", b"x" * 3_000_000), "lifetime": "7d"}
        )
        if user is not None:
            request.user = user
        assert request.POST["lifetime"] == "7d"
        assert ("file" in request.FILES) == is_kept
        if is_kept:
            assert request.FILES["file"].read() == b"x" * 3_000_000  # type: ignore[union-attr]  # one file


class Untouched:
    """A body that must not be read."""

    def read(self, *_: object) -> bytes:
        raise AssertionError("read")

    readline = read


@pytest.mark.parametrize("size", [65_537, 70_000, 4_300_000, 600_000_000, 10**30])
@pytest.mark.parametrize(
    "path", ["/account/login/", "/", "/queue/decide", "/scep/routers/", "/api/v1/challenges"]
)
def test_a_body_beyond_its_bound_is_refused_before_any_middleware_reads_it(
    path: str, size: int
) -> None:
    environment: dict[str, Any] = {
        "CONTENT_LENGTH": str(size),
        "wsgi.input": Untouched(),
        "REMOTE_ADDR": "192.0.2.7",
    }
    answer = Client().generic("POST", path, b"", "multipart/form-data; boundary=b", **environment)
    assert answer.status_code == 413
