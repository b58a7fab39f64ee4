"""Addresses. The API and notifications take the short way through the middleware (see middleware.py)."""

from django.contrib import admin
from django.urls import include, path, re_path
from drf_spectacular.views import SpectacularAPIView, SpectacularSwaggerView

from orders.checkout import checkout, checkout_qr
from orders.notifying import receive_notification
from payments_site import health
from payments_site.middleware import page_not_found

handler400 = "payments_site.middleware.bad_request"
handler404 = "payments_site.middleware.page_not_found"
handler500 = "payments_site.middleware.server_error"

urlpatterns = [
    path("healthz", health.alive),
    path("readyz", health.ready),
    path("metrics", health.metrics),
    path("notify/<str:provider>/<str:account_code>", receive_notification),
    path("checkout/<str:order_no>", checkout),
    path("checkout/<str:order_no>/qr", checkout_qr),
    path("api/v1/", include("orders.urls")),
    path("api/v1/", include("fulfillment.urls")),
    path("api/schema/", SpectacularAPIView.as_view(), name="schema"),
    path("api/docs/", SpectacularSwaggerView.as_view(url_name="schema"), name="docs"),
    # With DEBUG Django would explain a wrong address in HTML; machines are owed a problem document always.
    re_path(r"^(api|notify)/", page_not_found),
    path("i18n/", include("django.conf.urls.i18n")),
    path("admin/", admin.site.urls),
]
