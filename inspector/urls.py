"""The technicians' pages."""

from django.urls import path

from inspector import views

urlpatterns = [
    path("inspector/", views.inspect, name="inspector"),
    path("inspector/messages/", views.exchanges, name="exchanges"),
    path("inspector/messages/<uuid:exchange_id>/", views.exchange, name="exchange"),
    path("inspector/messages/<uuid:exchange_id>/open", views.open_exchange, name="exchange_open"),
    path("refusals/<str:number>/", views.refusal, name="refusal"),
    path("inspector/walk/<uuid:request_id>/", views.walk, name="walk"),
    path("inspector/recording/<slug:slug>/start", views.start, name="recording_start"),
    path("inspector/recording/<slug:slug>/stop", views.stop, name="recording_stop"),
]
