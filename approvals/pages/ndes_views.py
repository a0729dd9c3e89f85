"""The page of NDES accounts: administrators create, disable, and give new passwords."""

from uuid import UUID

from django.conf import settings
from django.contrib import messages
from django.db.models import Count, F, Max, Q, QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils import timezone
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods, require_POST

from accounts.doors import principal_of, requires
from accounts.permissions import within
from accounts.roles import Verb
from approvals.challenge_orders.ndes_accounts import (
    create_ndes_account,
    disable_ndes_account,
    replace_password,
)
from approvals.models.ndes import NdesAccount
from approvals.pages.ndes_forms import NdesAccountForm
from approvals.rules.errors import NdesAccountInvalid
from database.encryption import Secret


@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
@requires(Verb.PROFILE_MANAGE)
def ndes_accounts(request: HttpRequest) -> HttpResponse:
    """All accounts of the managed profiles; a new one is shown with its password, once."""
    form = NdesAccountForm(request.POST if request.method == "POST" else None, request=request)
    if not form.is_bound:
        return _page(request, form)
    if form.is_valid():
        try:
            account, secret = create_ndes_account(
                form.order(), principal=principal_of(request), now=timezone.now()
            )
        except NdesAccountInvalid as error:
            form.add_error(None, str(error))
        else:
            return _page(
                request, NdesAccountForm(request=request), new=(account, secret), status=201
            )
    return _page(request, form, status=422)


@never_cache
@require_POST
@requires(Verb.PROFILE_MANAGE)
def ndes_password(request: HttpRequest, account_id: UUID) -> HttpResponse:
    """Give an account a new password and show it, once."""
    account = get_object_or_404(_mine(request), pk=account_id)
    try:
        secret = replace_password(account, principal=principal_of(request), now=timezone.now())
    except NdesAccountInvalid as error:
        messages.error(request, str(error))
        return redirect("ndes_accounts")
    return _page(request, NdesAccountForm(request=request), new=(account, secret))


@require_POST
@requires(Verb.PROFILE_MANAGE)
def ndes_disable(request: HttpRequest, account_id: UUID) -> HttpResponse:
    """Disable an account."""
    account = get_object_or_404(_mine(request), pk=account_id)
    if disable_ndes_account(account, principal=principal_of(request), now=timezone.now()):
        messages.success(request, f"{account.name} is disabled: it gets no challenge any more.")
    return redirect("ndes_accounts")


def _page(
    request: HttpRequest,
    form: NdesAccountForm,
    *,
    new: tuple[NdesAccount, Secret] | None = None,
    status: int = 200,
) -> HttpResponse:
    now = timezone.now()
    is_unused = Q(
        challenges__challenge__redeemed_at__isnull=True,
        challenges__challenge__withdrawn_at__isnull=True,
        challenges__challenge__expires_at__gt=now,
    )
    rows = _mine(request).annotate(
        unused=Count("challenges", filter=is_unused),
        last_at=Max("challenges__challenge__created_at"),
    )
    context = {
        "accounts": rows.select_related("profile", "created_by").order_by(
            F("disabled_at").asc(nulls_first=True), "name"
        ),
        "form": form,
        "made": new[0] if new else None,
        "password": new[1].reveal() if new else "",
        "address": f"{settings.PORTAL_PUBLIC_URL}/certsrv/mscep_admin/",
        "public_url": settings.PORTAL_PUBLIC_URL,
    }
    return render(request, "approvals/ndes/accounts.html", context, status=status)


def _mine(request: HttpRequest) -> QuerySet[NdesAccount]:
    return NdesAccount.objects.filter(
        within(request.user, Verb.PROFILE_MANAGE, "profile__department_id")
    )
