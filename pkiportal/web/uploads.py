"""Files in forms: kept in memory, on the pages that take lists, from people who are signed in."""

from typing import Any

from django.core.files.uploadhandler import MemoryFileUploadHandler, SkipFile
from django.http import HttpRequest

from pkiportal.web.bodies import bound_of


class ListUploadHandler(MemoryFileUploadHandler):
    """Takes the file of a list; a file on another page, or from a stranger, is passed over and not
    kept.
    """

    request: HttpRequest

    def handle_raw_input(self, *_: Any, **__: Any) -> None:
        """Take files of any size here: how large a body may be was decided before its first byte
        was read.
        """
        self.activated = True

    def new_file(self, *args: Any, **kwargs: Any) -> None:
        """Begin a file, or pass it over."""
        user = getattr(self.request, "user", None)
        if (
            user is None
            or not user.is_authenticated
            or not bound_of(self.request.path_info).takes_files
        ):
            raise SkipFile
        super().new_file(*args, **kwargs)
