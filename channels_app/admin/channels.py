"""Sales channels, and what each offers."""

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.translation import gettext_lazy

from channels_app.console.pages import ConsoleAdmin
from channels_app.models import Channel, ChannelMethod


class ChannelMethodInline(admin.TabularInline[ChannelMethod, Channel]):
    """What a channel offers. Which account a method goes through is set by command, which checks both."""

    model = ChannelMethod
    extra = 0
    can_delete = False
    fields = ("method", "account", "environment", "is_enabled", "position")
    readonly_fields = ("method", "account", "environment")
    ordering = ("environment", "position", "pk")

    def has_add_permission(self, request: HttpRequest, obj: Channel | None = None) -> bool:
        """`manage.py enable_method` adds."""
        return False

    def get_queryset(self, request: HttpRequest) -> QuerySet[ChannelMethod]:
        """With the accounts it shows."""
        return super().get_queryset(request).select_related("account")


@admin.register(Channel)
class ChannelAdmin(ConsoleAdmin[Channel]):
    """Sales channels: named, switched on and off, never deleted."""

    list_display = ("code", "name", "is_active", "created_at")
    inlines = (ChannelMethodInline,)
    list_note = gettext_lazy(
        "Where orders come from. Payment methods are added to a channel by"
        " `manage.py enable_method CHANNEL METHOD ACCOUNT`."
    )

    def get_readonly_fields(self, request: HttpRequest, obj: Channel | None = None) -> tuple[str, ...]:
        """Orders and game servers refer to a channel by its code: it never changes."""
        return ("code", "created_at") if obj else ("created_at",)
