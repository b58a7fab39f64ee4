"""The door of the console: user name and password first, then a second factor, then the person is logged in.

Between the two steps nobody is logged in. The session only remembers whose password was right, for ten minutes and
for that password; whoever has no factor yet sets one up in the same place before anything else opens.
"""

import time
from dataclasses import dataclass
from typing import Any

import django_otp
from django.conf import settings
from django.contrib import admin, auth, messages
from django.contrib.admin.forms import AdminAuthenticationForm
from django.contrib.auth.models import AnonymousUser, User
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils import timezone
from django.utils.crypto import constant_time_compare
from django.utils.http import url_has_allowed_host_and_scheme
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.csrf import csrf_protect
from django.views.decorators.debug import sensitive_post_parameters

from channels_app.console.stepping_up import factor_was_proven
from orders.limits import refuse_above
from orders.problems import Problem
from payments_site.people import factors
from payments_site.people.devices import address_of
from payments_site.people.factors import Proof
from payments_site.people.records import note, tell

PASSWORDS_PER_ADDRESS_PER_MINUTE = 20
_AT_THE_DOOR = "at_the_door"
_AT_THE_DOOR_S = 600


@dataclass(frozen=True, slots=True)
class Visitor:
    """Somebody whose password was right and whose second factor is still to come."""

    person: User
    to: str


# --- the steps ---------------------------------------------------------------------------------------------
@never_cache
@sensitive_post_parameters("password")
@csrf_protect
def log_in(request: HttpRequest) -> HttpResponse:
    """User name and password."""
    to = local_address(request, request.POST.get("next") or request.GET.get("next"))
    if request.method != "POST":
        return _send_on(request, to) or _door(request, "admin/login.html", form=AdminAuthenticationForm(request), to=to)
    if _too_many_from_here(request):
        return locked_out(request)
    form = AdminAuthenticationForm(request, data=request.POST)
    if not form.is_valid():
        _note_failure(request, str(request.POST.get("username", "")))
        # axes shows its own page in place of this one when the name is locked.
        return _door(request, "admin/login.html", form=form, to=to)
    person = form.get_user()
    if not isinstance(person, User):
        raise TypeError("the console knows Django's own users only")
    return _password_was_right(request, person, to)


def _password_was_right(request: HttpRequest, person: User, to: str) -> HttpResponse:
    if request.user.is_authenticated:
        auth.logout(request)
    if settings.CONSOLE_SECOND_FACTOR == "optional" and not factors.has_factor(person):
        enter(request, person)
        messages.info(
            request,
            _("You are in without a second factor: possible on a developer's machine only, production asks for one."),
        )
        return HttpResponseRedirect(to)
    request.session.cycle_key()
    request.session[_AT_THE_DOOR] = {
        "person": person.pk,
        "backend": person.backend,  # set by authenticate()
        "password": person.get_session_auth_hash(),
        "at": time.time(),
        "to": to,
    }
    return HttpResponseRedirect(reverse("admin:code" if factors.has_factor(person) else "admin:set_up_factor"))


@never_cache
@sensitive_post_parameters("factor_code")
@csrf_protect
def ask_code(request: HttpRequest) -> HttpResponse:
    """A code of the authenticator app, or a recovery code."""
    visitor = visitor_of(request)
    if visitor is None:
        return HttpResponseRedirect(reverse("admin:login"))
    if not factors.has_factor(visitor.person):
        return HttpResponseRedirect(reverse("admin:set_up_factor"))
    if request.method != "POST":
        return _door(request, "admin/people/code.html", person=visitor.person)
    proof = judge_code(request, visitor.person)
    if not proof.holds:
        return _door(request, "admin/people/code.html", person=visitor.person, fault=fault_of(proof))
    enter(request, visitor.person, proof)
    return HttpResponseRedirect(visitor.to)


def judge_code(request: HttpRequest, person: User) -> Proof:
    """What came of the code in this form; written down, and the person is told of a recovery code."""
    proof = factors.prove(person=person, typed=request.POST.get("factor_code", ""), now=timezone.now())
    if not proof.holds:
        note(request, "factor.refused", about=person, actor=person, detail={"why": proof.value})
    if proof is Proof.BY_RECOVERY_CODE:
        left = factors.recovery_codes_left(person)
        note(request, "recovery_code.used", about=person, actor=person, detail={"left": left})
        tell(person, _("A recovery code was used"), _("You have %(count)s left.") % {"count": left})
        messages.warning(request, _("That recovery code is used up. You have %(count)s left.") % {"count": left})
    return proof


def fault_of(proof: Proof) -> str:
    """Why a code did not do, as the person reads it."""
    if proof is Proof.TOO_OFTEN:
        return _("Too many codes within a minute. Wait a minute, then type the newest one.")
    if proof is Proof.PAUSED:
        return _("Too many wrong codes in a row. Codes are looked at again in 15 minutes; a recovery code works now.")
    return _("This code does not fit. It may have been used already: wait for the next one.")


def enter(request: HttpRequest, person: User, proof: Proof | None = None) -> None:
    """Log the person in, with a new session key; with a factor when one was proven."""
    request.session.pop(_AT_THE_DOOR, None)
    auth.login(request, person)
    if proof is not None:
        now_verified(request, person)
    note(request, "login", about=person, actor=person, detail={"factor": proof.value if proof else "none"})


def now_verified(request: HttpRequest, person: User) -> None:
    """Remember in the session that this person proved a factor just now."""
    authenticator = factors.factor_of(person)
    if authenticator is not None:
        django_otp.login(request, authenticator)
        factor_was_proven(request)


@never_cache
@csrf_protect
def log_out(request: HttpRequest) -> HttpResponse:
    """By POST only: a picture on somebody's page logs nobody out."""
    if request.method == "POST":
        if request.user.is_authenticated:
            note(request, "logout", about=request.user)
        auth.logout(request)
        messages.success(request, _("You are logged out."))
    return HttpResponseRedirect(reverse("admin:login"))


# --- who stands at the door ------------------------------------------------------------------------------------
def visitor_of(request: HttpRequest) -> Visitor | None:
    """Whose password was right in this session a few minutes ago, unless it has been changed since."""
    left: dict[str, Any] = request.session.get(_AT_THE_DOOR) or {}
    if not left or time.time() - float(left["at"]) > _AT_THE_DOOR_S:
        return None
    person = User.objects.filter(pk=left["person"], is_active=True, is_staff=True).first()
    if person is None or not constant_time_compare(str(left["password"]), person.get_session_auth_hash()):
        return None
    person.backend = left["backend"]  # what login() wants to know
    return Visitor(person, str(left["to"]))


def may_enter(request: HttpRequest) -> bool:
    """Whether the person of this session may see the console: staff, with a factor proven where one is needed."""
    user = request.user
    if isinstance(user, AnonymousUser) or not (user.is_active and user.is_staff):
        return False
    if getattr(user, "otp_device", None) is not None:  # django-otp keeps the proven factor there
        return True
    return settings.CONSOLE_SECOND_FACTOR == "optional" and not _has_factor_once(request)


def _has_factor_once(request: HttpRequest) -> bool:
    """Asked several times on one page, read once."""
    known: bool | None = getattr(request, "_has_factor", None)
    if known is None:
        known = factors.has_factor(request.user)
        request._has_factor = known  # type: ignore[attr-defined]  # kept on the request
    return known


def _send_on(request: HttpRequest, to: str) -> HttpResponse | None:
    """Whoever is logged in needs no password: on to the page, or to the factor that is still missing."""
    if may_enter(request):
        return HttpResponseRedirect(reverse("admin:index"))
    user = request.user
    if isinstance(user, User) and user.is_active and user.is_staff:
        if not factors.has_factor(user):
            return HttpResponseRedirect(reverse("admin:set_up_factor"))
        return HttpResponseRedirect(f"{reverse('admin:step_up')}?next={to}")
    return None


def local_address(request: HttpRequest, wanted: str | None) -> str:
    """An address of this site, or the first page: nobody is sent to a stranger's."""
    if wanted and url_has_allowed_host_and_scheme(
        wanted, allowed_hosts={request.get_host()}, require_https=request.is_secure()
    ):
        return wanted
    return reverse("admin:index")


# --- lock-outs ---------------------------------------------------------------------------------------------
def locked_out(request: HttpRequest, *_more: object) -> HttpResponse:
    """The page for whoever tried too often; the same for names that exist and names that do not."""
    response = _door(request, "admin/people/locked_out.html", minutes=settings.AXES_COOLOFF_TIME.seconds // 60)
    response.status_code = 429
    response["Retry-After"] = str(settings.AXES_COOLOFF_TIME.seconds)
    return response.render() if isinstance(response, TemplateResponse) else response


def name_digest(request: HttpRequest, credentials: dict[str, str] | None) -> str:
    """How axes knows a name: people type their password into the wrong box, so no table keeps what was typed."""
    name = (credentials or {}).get("username") or request.POST.get("username", "")
    return factors.digest(f"log-in:{name}")


def _too_many_from_here(request: HttpRequest) -> bool:
    try:
        refuse_above(PASSWORDS_PER_ADDRESS_PER_MINUTE, key=f"log-in:{address_of(request)}"[:100])
    except Problem:
        note(request, "login.too_often")
        return True
    return False


def _note_failure(request: HttpRequest, typed_name: str) -> None:
    """A failure is about a person only when there is one of that name; else the name is not kept."""
    person = User.objects.filter(username=typed_name[:150]).first()
    locked = bool(getattr(request, "axes_locked_out", False))
    note(request, "login.locked" if locked else "login.failed", about=person)


def _door(request: HttpRequest, template: str, **context: object) -> TemplateResponse:
    """A page outside the console proper: no navigation, nothing to look up."""
    return TemplateResponse(request, template, {**admin.site.each_context(request), **context})
