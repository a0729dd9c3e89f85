"""The page of the block list: officers see it, administrators of the organization change it."""

from typing import Final

from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods, require_POST

from accounts.doors import person, principal_of, requires
from accounts.permissions import can
from accounts.roles import Verb
from ca.certificates.key_blocks import block_key, blocked_keys, unblock_key
from ca.key_forms import BlockKeyForm, UnblockKeyForm
from ca.models.keys import BlockedKey
from ca.x509.errors import KeyBlockRefused

_METHODS: Final = ["GET", "HEAD", "POST"]


@never_cache
@require_http_methods(_METHODS)
@requires(Verb.KEY_VIEW)
def keys(request: HttpRequest) -> HttpResponse:
    """Show the block list, and the form that adds to it; `?key=` fills the form in."""
    may_block, is_post = (
        can(person(request), Verb.KEY_BLOCK, BlockedKey()),
        request.method == "POST",
    )
    if is_post and not may_block:
        raise PermissionDenied
    form = BlockKeyForm(
        request.POST if is_post else None, initial={"spki_sha256": request.GET.get("key", "")}
    )
    status = 200
    if is_post:
        status = 422
        if form.is_valid():
            try:
                block_key(
                    **form.cleaned_data,
                    principal=principal_of(request),
                    now=timezone.now(),
                )
            except KeyBlockRefused as error:
                form.add_error(None, str(error))
            else:
                messages.success(
                    request, "Blocked: no certificate is issued for this key from now on."
                )
                return redirect("keys")
    context = {"rows": blocked_keys(), "form": form, "may_block": may_block}
    return render(request, "ca/keys.html", context, status=status)


@require_POST
@requires(Verb.KEY_BLOCK)
def unblock(request: HttpRequest) -> HttpResponse:
    """Take a key off the list."""
    if not can(person(request), Verb.KEY_BLOCK, BlockedKey()):
        raise PermissionDenied
    form = UnblockKeyForm(request.POST)
    if form.is_valid():
        data = form.cleaned_data
        try:
            unblock_key(
                data["spki_sha256"],
                comment=data["reason"],
                principal=principal_of(request),
                now=timezone.now(),
            )
            messages.success(request, "Taken off the list: this key may be certified again.")
        except KeyBlockRefused as error:
            messages.error(request, str(error))
    return redirect("keys")
