"""The pages of the self-test."""

from django.urls import path

from selftest import views

urlpatterns = [
    path("selftest/", views.runs, name="self_tests"),
    path("selftest/start", views.start, name="self_test_start"),
    path("selftest/<uuid:run_id>/", views.run, name="self_test"),
    path("selftest/<uuid:run_id>/live", views.run_live, name="self_test_live"),
]
