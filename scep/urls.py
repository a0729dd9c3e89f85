"""`/scep/<slug>/`, with and without the slash: devices do not follow redirects."""

from django.urls import re_path

from scep.views import scep

app_name = "scep"

urlpatterns = [re_path(r"^(?P<slug>[a-z0-9-]{1,50})/?$", scep, name="scep")]
