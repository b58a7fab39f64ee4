"""The address of a game server and the secret it is signed with: changed by two people, or by one where four eyes are
off. A new secret is shown once, to whoever made it.
"""

from typing import Any

from django import forms
from django.core.exceptions import ValidationError
from django.http import HttpRequest
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from channels_app.console.pages import Act, ActRefused
from channels_app.proposals import Asked
from channels_app.vault import VaultClosed
from fulfillment.endpoints import EndpointRefused, retire_old_secrets, rotate_secret, set_endpoint
from fulfillment.models import WebhookEndpoint
from fulfillment.targets import TargetRefused, check_url

_MAY = "fulfillment.edit_endpoint"


class AddressForm(forms.Form):
    """Where the game server is told."""

    url = forms.CharField(
        label=gettext_lazy("New address"),
        max_length=500,
        required=False,
        help_text=gettext_lazy("https://…; empty: nothing is told, the game reads its events from the list."),
    )

    def clean_url(self) -> str:
        """Refuse what would never be called: a private address, another scheme."""
        url: str = self.cleaned_data["url"].strip()
        try:
            return check_url(url) if url else ""
        except TargetRefused as refusal:
            raise ValidationError(str(refusal)) from refusal


def _set_address(request: HttpRequest, endpoint: WebhookEndpoint, given: dict[str, Any]) -> str:
    try:
        set_endpoint(game=endpoint.game, url=given["url"])
    except EndpointRefused as refusal:
        raise ActRefused(str(refusal)) from refusal
    told = given["url"] or _("nobody: the game reads its events from the list")
    return _("%(game)s is told at: %(url)s.") % {"game": endpoint.game.name, "url": told}


def _rotate(request: HttpRequest, endpoint: WebhookEndpoint, given: dict[str, Any]) -> Asked:
    secret = rotate_secret(endpoint_id=endpoint.pk)
    return Asked(_("A new secret signs from now on; the one before stays valid beside it."), secret=secret)


def _retire(request: HttpRequest, endpoint: WebhookEndpoint, given: dict[str, Any]) -> str:
    retired = retire_old_secrets(endpoint_id=endpoint.pk)
    return _("Only the newest secret signs now; retired: %(count)s.") % {"count": retired}


def _secrets_known(endpoint: WebhookEndpoint) -> int:
    """How many secrets sign now; 0 when they cannot be opened."""
    try:
        return len(endpoint.secrets())
    except VaultClosed:
        return 0


CHANGES = (
    Act(
        name="address",
        label=gettext_lazy("Change the address"),
        permission=_MAY,
        effect=lambda endpoint: [
            _("Now: %(url)s") % {"url": endpoint.url or "—"},
            _("Everything that waits is sent to the new address at once, with the same ids."),
            _("The secret stays the same."),
        ],
        hindrance=lambda endpoint: "",
        perform=_set_address,
        form=AddressForm,
        step_up=True,
        two_people=True,
        shown=lambda endpoint, given: [(_("address"), endpoint.url, given["url"])],
        version=lambda endpoint: endpoint.url,
    ),
    Act(
        name="rotate",
        label=gettext_lazy("New secret"),
        permission=_MAY,
        effect=lambda endpoint: [
            _("Messages are signed with both the new secret and the one before, so the game server can change over."),
            _("A secret older than those two stops being used."),
            _("The new secret is shown once, to whoever makes it."),
        ],
        hindrance=lambda endpoint: "",
        perform=_rotate,
        step_up=True,
        two_people=True,
        version=lambda endpoint: endpoint.url,
    ),
    Act(
        name="retire",
        label=gettext_lazy("End the old secret"),
        permission=_MAY,
        effect=lambda endpoint: [
            _("Messages are signed with the newest secret only."),
            _("A game server that has not changed over refuses them, and they wait."),
        ],
        hindrance=lambda endpoint: "" if _secrets_known(endpoint) > 1 else _("There is one secret only."),
        perform=_retire,
        step_up=True,
        two_people=True,
        version=lambda endpoint: endpoint.url,
    ),
)
