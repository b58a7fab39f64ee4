"""Addresses of game servers, their health, and the acts that pause and resume telling them."""

from typing import Any

from django.contrib import admin
from django.http import HttpRequest
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from channels_app.console.pages import Act, ActRefused, ReadOnlyAdmin
from channels_app.console.words import column, mark
from fulfillment.admin.endpoint_changes import CHANGES
from fulfillment.endpoints import pause_endpoint, resume_endpoint
from fulfillment.models import EndpointState, MessageState, WebhookEndpoint, WebhookMessage

_COUNTED_AT_MOST = 10_000


def _pause(request: HttpRequest, endpoint: WebhookEndpoint, given: dict[str, Any]) -> str:
    if not pause_endpoint(endpoint_id=endpoint.pk):
        raise ActRefused(_("Somebody else has just done that."))
    return _("%(endpoint)s is paused; everything waits.") % {"endpoint": endpoint}


def _resume(request: HttpRequest, endpoint: WebhookEndpoint, given: dict[str, Any]) -> str:
    if not resume_endpoint(endpoint_id=endpoint.pk, actor=request.user.get_username()):
        raise ActRefused(_("Somebody else has just done that."))
    return _("%(endpoint)s is told again.") % {"endpoint": endpoint}


def _waiting_messages(endpoint: WebhookEndpoint) -> int:
    """How many, as far as anybody wants to know."""
    return WebhookMessage.objects.filter(endpoint=endpoint, state=MessageState.WAITING)[:_COUNTED_AT_MOST].count()


def _health(endpoint: WebhookEndpoint) -> object:
    """Told, failing, paused or off."""
    if endpoint.state != EndpointState.ACTIVE:
        return mark(endpoint.get_state_display(), "decide")
    if endpoint.failures_in_a_row:
        return mark(_("failing"), "working")
    return mark(endpoint.get_state_display(), "done")


@admin.register(WebhookEndpoint)
class WebhookEndpointAdmin(ReadOnlyAdmin[WebhookEndpoint]):
    """Addresses of game servers and their health. Secrets are never shown."""

    game_path = "game"
    list_display = (
        "game",
        "url",
        "standing",
        "failures_in_a_row",
        "failing_since",
        "last_success_at",
        "last_error",
    )
    list_select_related = ("game",)
    fields = (
        "game",
        "url",
        "standing",
        "waiting",
        "failures_in_a_row",
        "failing_since",
        "next_probe_at",
        "last_success_at",
        "last_error",
        "created_at",
    )
    list_note = gettext_lazy("Address and secret are changed on its page, or by `manage.py set_webhook GAME URL`.")
    standing = column(gettext_lazy("state"), _health)
    waiting = column(gettext_lazy("messages waiting"), _waiting_messages)
    acts = (
        Act(
            name="pause",
            label=gettext_lazy("Pause"),
            permission="fulfillment.change_webhookendpoint",
            effect=lambda endpoint: [
                _("The game server is told nothing more until somebody resumes."),
                _("Nothing is lost: messages wait. Now waiting: %(count)s.") % {"count": _waiting_messages(endpoint)},
                _("Goods that the game server holds are not delivered meanwhile."),
            ],
            hindrance=lambda endpoint: (
                "" if endpoint.state == EndpointState.ACTIVE else _("It is not being told anything now.")
            ),
            perform=_pause,
        ),
        Act(
            name="resume",
            label=gettext_lazy("Resume"),
            permission="fulfillment.change_webhookendpoint",
            effect=lambda endpoint: [
                _("The game server is told again, at once. Now waiting: %(count)s.")
                % {"count": _waiting_messages(endpoint)}
            ],
            hindrance=lambda endpoint: _("It is being told things.") if endpoint.state == EndpointState.ACTIVE else "",
            perform=_resume,
        ),
        *CHANGES,
    )
