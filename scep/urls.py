"""Every address at which devices ask, with and without the slash: devices do not follow redirects
(RFC 8894 §4.1).

`/scep/<slug>/` is the one that is given out. The others are those that devices have built in,
append to what they are given, or still have from the server before this one. A device that appends
`/pkiclient.exe` to an address with a slash at its end asks with two of them, so any number of
slashes stands for one.
"""

from typing import Final

from django.urls import re_path

from scep.views import scep

app_name = "scep"

_SLUG: Final = r"(?P<slug>[a-z0-9-]{1,50})"
_PROGRAM: Final = r"(?:/+pkiclient\.exe)?/*$"
_NDES: Final = (
    r"^[Cc]ert[Ss]rv/+mscep"  # both spellings are in Microsoft's manuals; IIS does not mind
)

urlpatterns = [
    re_path(rf"^scep/+{_SLUG}{_PROGRAM}", scep, name="scep"),
    re_path(rf"{_NDES}/+{_SLUG}/+mscep\.dll{_PROGRAM}", scep, name="ndes"),
    # Without a name: the default profile answers.
    re_path(rf"^scep{_PROGRAM}", scep, name="scep_default"),
    re_path(r"^cgi-bin/+pkiclient\.exe/*$", scep, name="cgi_default"),
    re_path(rf"{_NDES}/+mscep\.dll{_PROGRAM}", scep, name="ndes_default"),
]
