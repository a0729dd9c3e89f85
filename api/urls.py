"""`/api/v1/`. Addresses have no slash at the end, since programs do not follow redirects."""

from django.urls import path, re_path

from api import views

app_name = "api"

urlpatterns = [
    path("v1/challenges", views.ChallengesView.as_view(), name="challenges"),
    path("v1/challenges/<uuid:challenge_id>", views.ChallengeView.as_view(), name="challenge"),
    path("v1/profiles", views.ProfilesView.as_view(), name="profiles"),
    path("v1/requests/<uuid:request_id>", views.RequestView.as_view(), name="request"),
    re_path(r"", views.NothingHere.as_view()),
]
