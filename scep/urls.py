"""All addresses for devices, with and without the slash: devices do not follow redirects.

`/scep/<slug>/` is the published one (RFC 8894 §4.1). Devices have the others built in, append them
to the published one, or kept them from an earlier server. A device that appends `/pkiclient.exe` to
an address with a final slash sends two of them, so any number of slashes counts as one.
"""

from typing import Final

from django.urls import re_path

from scep.views import scep

app_name = "scep"

_SLUG: Final = r"(?P<slug>[a-z0-9-]{1,50})"
_PROGRAM: Final = r"(?:/+pkiclient\.exe)?/*$"
_NDES: Final = (
    r"^[Cc]ert[Ss]rv/+mscep"  # both spellings are in Microsoft's manuals; IIS accepts either
)

urlpatterns = [
    re_path(rf"^scep/+{_SLUG}{_PROGRAM}", scep, name="scep"),
    re_path(rf"{_NDES}/+{_SLUG}/+mscep\.dll{_PROGRAM}", scep, name="ndes"),
    # Without a slug: the default profile answers.
    re_path(rf"^scep{_PROGRAM}", scep, name="scep_default"),
    re_path(r"^cgi-bin/+pkiclient\.exe/*$", scep, name="cgi_default"),
    re_path(rf"{_NDES}/+mscep\.dll{_PROGRAM}", scep, name="ndes_default"),
]
