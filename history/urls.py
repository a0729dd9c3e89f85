"""The auditors' pages."""

from django.urls import path

from history import views

urlpatterns = [
    path("history/requests/", views.requests, name="history_requests"),
    path("history/certificates/", views.certificates, name="history_certificates"),
    path("history/certificates/<uuid:certificate_id>/", views.certificate, name="certificate"),
    *(
        path(
            f"history/certificates/<uuid:certificate_id>/{form}",
            views.download,
            {"form": form},
            name="certificate_download",
        )
        for form in ("der", "pem", "chain")
    ),
    path("history/audit/", views.audit, name="history_audit"),
]
