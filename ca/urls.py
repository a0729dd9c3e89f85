"""The pages of authorities."""

from django.urls import path

from ca import key_views, views

urlpatterns = [
    path("ca/", views.authorities, name="authorities"),
    path("ca/<slug:name>.cer", views.authority_certificate, name="authority_certificate"),
    path("ca/<slug:name>.pem", views.authority_pem, name="authority_pem"),
    path("ca/<slug:name>.crl", views.authority_crl, name="authority_crl"),
    path("ca/<slug:name>/pause", views.pause, name="authority_pause"),
    path("ca/<slug:name>/resume", views.resume, name="authority_resume"),
    path("keys/", key_views.keys, name="keys"),
    path("keys/unblock", key_views.unblock, name="key_unblock"),
]
