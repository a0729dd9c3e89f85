"""The officers' pages."""

from django.urls import path

from approvals import profile_views, revocation_views, views

urlpatterns = [
    path("", views.home, name="home"),
    path("queue/", views.queue, name="queue"),
    path("queue/changes", views.queue_changes, name="queue_changes"),
    path("queue/decide", views.decide, name="queue_decide"),
    path("requests/<uuid:request_id>/", views.request_page, name="request"),
    path("requests/<uuid:request_id>/live", views.request_live, name="request_live"),
    path("requests/<uuid:request_id>/approve", views.approve, name="request_approve"),
    path("requests/<uuid:request_id>/reject", views.reject, name="request_reject"),
    path("requests/<uuid:request_id>/reopen", views.reopen, name="request_reopen"),
    path("requests/<uuid:request_id>/retry", views.retry, name="request_retry"),
    path("profiles/", profile_views.profiles, name="profiles"),
    path("profiles/<slug:slug>/pause", profile_views.pause, name="profile_pause"),
    path("profiles/<slug:slug>/resume", profile_views.resume, name="profile_resume"),
    path("certificates/<uuid:certificate_id>/revoke", revocation_views.revoke, name="certificate_revoke"),
    path("certificates/<uuid:certificate_id>/release", revocation_views.release, name="certificate_release"),
]
