"""Addresses of the goods part of the API."""

from django.urls import path

from fulfillment import views

# `path:uid`: a game's player ids are its own, and may contain a slash.
urlpatterns = [
    path("players/<path:uid>/balances", views.Balances.as_view()),
    path("players/<path:uid>/ledger", views.Ledger.as_view()),
    path("players/<path:uid>/deliveries", views.Deliveries.as_view()),
    path("deliveries/<uuid:delivery_id>/acknowledge", views.Acknowledge.as_view()),
    path("events", views.Events.as_view()),
]
