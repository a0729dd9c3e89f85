"""The addresses of all doors."""

from importlib.util import find_spec
from typing import Final

from allauth.account import views as account_views
from allauth.account.decorators import secure_admin_login
from django.contrib import admin
from django.db import transaction
from django.urls import URLPattern, URLResolver, include, path
from django.views.generic import RedirectView

from accounts.views import password_link, set_up
from pkiportal.health import healthz, readyz

admin.site.login = secure_admin_login(admin.site.login)  # type: ignore[method-assign]  # allauth's documented way
admin.site.password_change = RedirectView.as_view(pattern_name="account_change_password")  # type: ignore[method-assign, assignment]  # Django's own page writes no entry
admin.site.site_header = admin.site.site_title = "PKI portal administration"
admin.site.site_url = "/"

#: The pages of allauth that the portal uses; the sign-up page only says that it is closed.
_account: Final[list[URLPattern | URLResolver]] = [
    path("setup/<str:token>", set_up, name="account_setup"),
    path("password/link/<str:token>", password_link, name="account_password_link"),
    path("login/", account_views.login, name="account_login"),
    path("logout/", account_views.logout, name="account_logout"),
    path("signup/", account_views.signup, name="account_signup"),
    path("inactive/", account_views.account_inactive, name="account_inactive"),
    path(
        "password/change/",
        transaction.atomic(account_views.password_change),
        name="account_change_password",
    ),
    path("reauthenticate/", account_views.reauthenticate, name="account_reauthenticate"),
]


def _door(route: str, module: str) -> list[URLResolver]:
    return [path(route, include(module))] if find_spec(module) else []


handler400 = "pkiportal.web.refusal_pages.bad_request"
handler500 = "pkiportal.health.page_fault"

urlpatterns: list[URLPattern | URLResolver] = [
    path("healthz", healthz, name="healthz"),
    path("readyz", readyz, name="readyz"),
    path("account/", include(_account)),
    path("admin/", admin.site.urls),
    *_door("", "scep.urls"),
    *_door("", "scep.ndes.urls"),
    *_door("api/", "api.urls"),
    *_door("account/tokens/", "api.token_urls"),
    *_door("", "approvals.urls"),
    *_door("", "history.urls"),
    *_door("", "inspector.urls"),
    *_door("", "selftest.urls"),
    *_door("", "ca.urls"),
]
