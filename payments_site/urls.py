"""Addresses. The API and notifications take the short way through the middleware (see middleware.py)."""

from django.contrib import admin
from django.urls import path

handler400 = "payments_site.middleware.bad_request"
handler404 = "payments_site.middleware.page_not_found"
handler500 = "payments_site.middleware.server_error"

urlpatterns = [
    path("admin/", admin.site.urls),
]
