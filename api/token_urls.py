"""`/account/tokens/`: a page that needs a session, not part of the API."""

from django.urls import path

from api import token_views

urlpatterns = [
    path("", token_views.tokens, name="api_tokens"),
    path("<uuid:token_id>/revoke", token_views.token_revoke, name="api_token_revoke"),
]
