"""The export of a list of orders: asked for first, then streamed, and written down."""

from typing import Any

from django import forms
from django.contrib.admin.models import CHANGE, LogEntry
from django.contrib.admin.options import IncorrectLookupParameters
from django.contrib.contenttypes.models import ContentType
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse, HttpResponseBase, HttpResponseRedirect, StreamingHttpResponse
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from channels_app.console.pages import ReadOnlyAdmin
from channels_app.models import Environment
from orders.admin.order_filters import BooksFilter, book_choices
from orders.exporting import OrderExport
from orders.models import Game, Order


class ExportForm(forms.Form):
    """One game and one environment at a time: real and play money never share a file."""

    books = forms.ChoiceField(label=gettext_lazy("Game and environment"), choices=book_choices)


def filters_in_words(listed: Any) -> list[str]:
    """The filters and the search of a list, as a person reads them."""
    words = [
        f"{spec.title}: {choice['display']}"
        for spec in listed.filter_specs
        if spec.value() is not None
        for choice in spec.choices(listed)
        if choice["selected"]
    ]
    return [*words, *([_("searched: %(term)s") % {"term": listed.query}] if listed.query else [])]


class OrderExporting(ReadOnlyAdmin[Order]):
    """A list of orders with its export button, and the view behind it."""

    def get_urls(self) -> list[URLPattern]:
        """Adds the export."""
        view = self.admin_site.admin_view(self.export_view)
        return [path("export/", view, name="orders_order_export"), *super().get_urls()]

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        """The list, with the export button for those who may."""
        address = ""
        if request.user.has_perm("orders.export_orders"):
            address = f"{reverse('admin:orders_order_export')}?{request.GET.urlencode()}"
        return super().changelist_view(request, {"export_address": address, **(extra_context or {})})

    def export_view(self, request: HttpRequest) -> HttpResponseBase:
        """GET: what would be exported, to be confirmed. POST: the file, streamed."""
        if not request.user.has_perm("orders.export_orders") or not self.has_view_permission(request):
            raise PermissionDenied
        try:
            listed = self.get_changelist_instance(request)
        except IncorrectLookupParameters:
            return HttpResponseRedirect(reverse("admin:orders_order_changelist"))
        chosen = request.GET.get(BooksFilter.parameter_name)
        form = ExportForm(request.POST if request.method == "POST" else None, initial={"books": chosen})
        if request.method == "POST" and form.is_valid():
            return self._stream(request, listed, form.cleaned_data["books"])
        return self._ask_export(request, listed, form)

    def _ask_export(self, request: HttpRequest, listed: Any, form: forms.Form) -> HttpResponse:
        return TemplateResponse(
            request,
            "admin/console/export.html",
            {
                **self.admin_site.each_context(request),
                "opts": self.opts,
                "title": _("Export orders as CSV"),
                "form": form,
                "filters": filters_in_words(listed),
                "found": listed.result_count,
                "capped": listed.paginator.capped,
                "back": f"{reverse('admin:orders_order_changelist')}?{request.GET.urlencode()}",
            },
        )

    def _stream(self, request: HttpRequest, listed: Any, books: str) -> HttpResponseBase:
        game_id, _dot, environment = books.partition(".")
        export = OrderExport(
            game=Game.objects.get(pk=game_id),
            environment=Environment(environment),
            orders=listed.queryset.order_by(),
            filters=filters_in_words(listed),
            now=timezone.now(),
        )
        LogEntry.objects.create(
            user_id=int(request.user.pk or 0),
            content_type=ContentType.objects.get_for_model(Order),
            object_repr=export.file_name,
            action_flag=CHANGE,
            change_message=f"exported {export.file_name}: {'; '.join(export.filters)}",
        )
        return StreamingHttpResponse(
            export.stream(),
            content_type="text/csv; charset=utf-8",
            headers={"Content-Disposition": f'attachment; filename="{export.file_name}"'},
        )
