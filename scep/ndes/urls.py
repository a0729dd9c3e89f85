"""`/certsrv/mscep_admin/`, with and without the slash: some readers do not follow redirects."""

from django.urls import re_path

from scep.ndes.views import mscep_admin

app_name = "ndes"

urlpatterns = [re_path(r"^[Cc]ert[Ss]rv/mscep_admin/?$", mscep_admin, name="mscep_admin")]
