"""Addresses of the orders part of the API, and of the providers' notifications."""

from django.urls import path

from orders import views

urlpatterns = [
    path("orders", views.Orders.as_view()),
    path("orders/<str:order_no>", views.OneOrder.as_view()),
    path("orders/<str:order_no>/pay", views.PayOrder.as_view()),
    path("orders/<str:order_no>/cancel", views.CancelOrder.as_view()),
    path("orders/<str:order_no>/client-result", views.ClientResult.as_view()),
    path("orders/<str:order_no>/proofs", views.Proofs.as_view()),
    path("products", views.Products.as_view()),
    path("channels", views.Channels.as_view()),
]
