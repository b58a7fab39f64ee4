"""A second look at who is there, before money, keys or rights move: the second factor must have been proven lately.

This floor asks and shows the question; the floor of people (the page `admin:step_up`) judges the answer. Between
the two stands one value of the session: when a factor was proven last.
"""

import time

from django.conf import settings
from django.contrib import messages
from django.contrib.admin import AdminSite
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect, QueryDict
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils.http import urlencode
from django.utils.translation import gettext as _

PROVEN_AT = "factor_at"
FORM_WAITS = "factor_form_waits"


def factor_is_fresh(request: HttpRequest) -> bool:
    """Whether the person proved a second factor within the last minutes, in this session.

    Where the factor is optional (a developer's machine), somebody without one has nothing to prove.
    """
    if settings.CONSOLE_SECOND_FACTOR == "optional" and getattr(request.user, "otp_device", None) is None:
        return True
    proven_at = request.session.get(PROVEN_AT)
    return isinstance(proven_at, int | float) and 0 <= time.time() - proven_at <= settings.STEP_UP_FRESH_S


def factor_was_proven(request: HttpRequest) -> None:
    """Remember that a factor was proven just now."""
    request.session[PROVEN_AT] = time.time()


def ask_for_factor(request: HttpRequest, site: AdminSite) -> HttpResponse:
    """Send the person to prove the factor and then on to where they were going.

    What a form carried is kept on the page and sent on afterwards: nothing typed is lost. A file cannot be kept so;
    the person is told to choose it again.
    """
    here = request.get_full_path()
    if request.FILES:
        messages.warning(request, _("Nothing was done yet: confirm that it is you, then choose the file again."))
    if request.method != "POST" or request.FILES:
        return HttpResponseRedirect(f"{reverse('admin:step_up')}?{urlencode({'next': here})}")
    return step_up_page(request, site, to=here, kept=kept_fields(request.POST))


def step_up_page(
    request: HttpRequest, site: AdminSite, *, to: str, kept: list[tuple[str, str]] | None, fault: str = ""
) -> HttpResponse:
    """The page that asks for a code. `kept` is what the form carried that waits for it; None when a page waits."""
    return TemplateResponse(
        request,
        "admin/people/step_up.html",
        {
            **site.each_context(request),
            "title": _("Confirm that it is you"),
            "minutes": settings.STEP_UP_FRESH_S // 60,
            "to": to,
            "form_waits": kept is not None,
            "kept": kept or [],
            "fault": fault,
        },
    )


def kept_fields(posted: QueryDict) -> list[tuple[str, str]]:
    """The fields of a form as they were sent, without what belongs to the page itself."""
    own = {"csrfmiddlewaretoken", "factor_code", "factor_next", FORM_WAITS}
    return [(name, value) for name, values in posted.lists() if name not in own for value in values]
