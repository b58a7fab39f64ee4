"""What is written down, and mailed, about people getting in: never a password, a code or a seed.

A name that nobody here bears is not written down either: people type their password into the wrong box.
"""

import logging
from collections.abc import Mapping
from typing import Any

from django.conf import settings
from django.contrib.auth.models import User
from django.core.mail import send_mail
from django.http import HttpRequest
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from channels_app.console.audit import ACTION_WORDS
from channels_app.models import AuditEntry
from orders.authentication import peer_address

logger = logging.getLogger(__name__)

ACTION_WORDS.update(
    {
        "login": gettext_lazy("logged in"),
        "logout": gettext_lazy("logged out"),
        "login.failed": gettext_lazy("wrong user name or password"),
        "login.locked": gettext_lazy("log-in refused, too many had failed"),
        "login.too_often": gettext_lazy("log-in refused, too many from one address"),
        "factor.set_up": gettext_lazy("set up an authenticator"),
        "factor.refused": gettext_lazy("typed a code that did not fit"),
        "factor.proven": gettext_lazy("confirmed with a code"),
        "factor.reset": gettext_lazy("took a lost authenticator away"),
        "recovery_code.used": gettext_lazy("used a recovery code"),
        "recovery_codes.made": gettext_lazy("made new recovery codes"),
        "session.ended": gettext_lazy("ended sessions"),
        "password.changed": gettext_lazy("changed the password"),
    }
)


def note(
    request: HttpRequest,
    action: str,
    *,
    about: User | None = None,
    actor: User | None = None,
    label: str = "",
    detail: Mapping[str, Any] | None = None,
) -> None:
    """One line of the audit trail about a person's way in. Who is at the door is not logged in yet: `actor` says it."""
    somebody = actor or request.user
    AuditEntry.objects.create(
        actor=somebody.get_username() or "anonymous",
        address=peer_address(request)[:45],
        action=action,
        subject=User._meta.label_lower if about else "",
        subject_id=str(about.pk) if about else "",
        label=label or (about.get_username()[:200] if about else ""),
        detail=dict(detail or {}),
    )


def tell(person: User, subject: str, text: str) -> None:
    """Mail a person about their own log-in, if they have an address. A mail server that is down stops nobody."""
    if not person.email:
        return
    closing = _("If this was not you, tell an administrator at once.")
    body = f"{text}\n\n{timezone.localtime():%Y-%m-%d %H:%M %Z}\n{settings.PUBLIC_BASE_URL}\n\n{closing}\n"
    try:
        send_mail(f"[{_('Payments console')}] {subject}", body, None, [person.email])
    except OSError:  # smtplib's errors are among these
        logger.exception("a mail about a log-in could not be sent")
