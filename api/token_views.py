"""The page of API tokens: people create and revoke their own; administrators see and revoke all."""

from uuid import UUID

from django.conf import settings
from django.contrib import messages
from django.db.models import F, Q, QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils import timezone
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods, require_POST

from accounts.doors import person, principal_of, requires
from accounts.models.people import ApiToken
from accounts.permissions import can, within
from accounts.roles import Verb
from accounts.tokens import API_VERBS, TokenInvalid, create_token, revoke_token
from api.forms import TokenForm


@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
@requires(*API_VERBS)
def tokens(request: HttpRequest) -> HttpResponse:
    """Show one's own tokens, or all tokens to an administrator; a new token is shown only here."""
    form = TokenForm(request.POST if request.method == "POST" else None, request=request)
    if not form.is_bound:
        return _page(request, form)
    if form.is_valid():
        try:
            token, text = create_token(
                form.order(), principal=principal_of(request), now=timezone.now()
            )
        except TokenInvalid as error:
            form.add_error(None, str(error))
        else:
            return _page(request, TokenForm(request=request), new=(token, text), status=201)
    return _page(request, form, status=422)


@require_POST
@requires(*API_VERBS)
def token_revoke(request: HttpRequest, token_id: UUID) -> HttpResponse:
    """Revoke a token at once."""
    token = get_object_or_404(_visible_tokens(request), pk=token_id)
    if revoke_token(token, principal=principal_of(request), now=timezone.now()):
        messages.success(request, f"{token.name} is revoked: it opens nothing any more.")
    return redirect("api_tokens")


def _page(
    request: HttpRequest,
    form: TokenForm,
    *,
    new: tuple[ApiToken, str] | None = None,
    status: int = 200,
) -> HttpResponse:
    over = Q(revoked_at__isnull=False) | Q(expires_at__lte=timezone.now())
    rows = _visible_tokens(request).select_related("owner", "department")
    context = {
        "tokens": rows.exclude(over).order_by("owner__username", "name"),
        "over": rows.filter(over).order_by(F("revoked_at").desc(nulls_last=True), "-expires_at")[
            :20
        ],
        "sees_all": can(person(request), Verb.PEOPLE_MANAGE),
        "form": form,
        "made": new[0] if new else None,
        "text": new[1] if new else "",
        "address": f"{settings.PORTAL_PUBLIC_URL}/api/v1/",
    }
    return render(request, "api/tokens.html", context, status=status)


def _visible_tokens(request: HttpRequest) -> QuerySet[ApiToken]:
    """Return one's own tokens, and those of departments whose people one manages."""
    managed = within(request.user, Verb.PEOPLE_MANAGE, "department_id")
    if can(person(request), Verb.PEOPLE_MANAGE):
        return (
            ApiToken.objects.filter(managed | Q(owner=person(request)))
            if managed
            else ApiToken.objects.all()
        )
    return ApiToken.objects.filter(owner=person(request))
