"""Files in forms: kept in memory, on the pages that take lists, from signed-in people."""

from typing import Any

from django.core.files.uploadhandler import MemoryFileUploadHandler, SkipFile
from django.http import HttpRequest

from pkiportal.web.bodies import bound_of


class ListUploadHandler(MemoryFileUploadHandler):
    """Keeps the file of a list; files on other pages, or from anonymous visitors, are dropped."""

    request: HttpRequest

    def handle_raw_input(self, *_: Any, **__: Any) -> None:
        """Accept files of any size: the size of the body was checked before its first byte."""
        self.activated = True

    def new_file(self, *args: Any, **kwargs: Any) -> None:
        """Start a file, or drop it."""
        user = getattr(self.request, "user", None)
        if (
            user is None
            or not user.is_authenticated
            or not bound_of(self.request.path_info).takes_files
        ):
            raise SkipFile
        super().new_file(*args, **kwargs)
