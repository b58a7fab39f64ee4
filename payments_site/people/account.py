"""A person's own log-in: setting up the authenticator, recovery codes, open sessions; and, for those who manage
staff, ending another person's sessions or taking away a factor that was lost.
"""

from datetime import datetime

from django.contrib import admin, messages
from django.contrib.auth.models import User
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import get_object_or_404
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import ngettext
from django.views.decorators.cache import never_cache
from django.views.decorators.csrf import csrf_protect
from django.views.decorators.debug import sensitive_post_parameters
from django.views.decorators.http import require_POST

from channels_app.console.stepping_up import ask_for_factor, factor_is_fresh
from payments_site.models import Authenticator, StaffSession
from payments_site.people import factors, sessions
from payments_site.people.factors import Proof
from payments_site.people.login import enter, fault_of, may_enter, now_verified, visitor_of
from payments_site.people.records import note, tell

MANAGE_STAFF = "payments_site.manage_staff"
_SETTING_UP = "setting_up"


# --- setting a factor up -----------------------------------------------------------------------------------
@never_cache
@sensitive_post_parameters("factor_code")
@csrf_protect
def set_up_factor(request: HttpRequest) -> HttpResponse:
    """Show a new seed until a code of it was typed, then the recovery codes, once.

    For somebody at the door without a factor, and for somebody inside who wants another one.
    """
    visitor = visitor_of(request)
    person = visitor.person if visitor else _inside(request)
    if person is None or (visitor is not None and factors.has_factor(person)):
        return HttpResponseRedirect(reverse("admin:login"))
    if visitor is None and factors.has_factor(person) and not factor_is_fresh(request):
        return ask_for_factor(request, admin.site)
    authenticator = _begun_here(request, person)
    if request.method != "POST":
        return _seed_page(request, authenticator)
    proof, codes = factors.confirm(
        authenticator=authenticator, typed=request.POST.get("factor_code", ""), now=timezone.now()
    )
    if not proof.holds:
        note(request, "factor.refused", about=person, actor=person, detail={"why": proof.value, "while": "setting up"})
        return _seed_page(request, authenticator, fault=fault_of(proof))
    _factor_is_set_up(request, person, at_the_door=visitor is not None)
    return _codes_page(request, codes, to=visitor.to if visitor else reverse("admin:my_log_in"))


def _inside(request: HttpRequest) -> User | None:
    """The person of this session if they may be here at all: without a factor nothing but this page is open."""
    user = request.user
    return user if isinstance(user, User) and user.is_active and user.is_staff else None


def _begun_here(request: HttpRequest, person: User) -> Authenticator:
    """The authenticator that this browser began to set up, or a new one."""
    begun = request.session.get(_SETTING_UP)
    authenticator = Authenticator.objects.filter(pk=begun, user=person, confirmed=False).first() if begun else None
    if authenticator is None:
        authenticator = factors.begin(person)
        request.session[_SETTING_UP] = authenticator.pk
    return authenticator


def _factor_is_set_up(request: HttpRequest, person: User, *, at_the_door: bool) -> None:
    request.session.pop(_SETTING_UP, None)
    note(request, "factor.set_up", about=person, actor=person)
    if at_the_door:
        enter(request, person, Proof.BY_APP)
    else:
        now_verified(request, person)
        # Whoever is elsewhere got in with the factor before this one.
        sessions.end_all(person, now=timezone.now(), but=sessions.session_of(request))
    tell(person, _("Authenticator set up"), _("A new authenticator app and new recovery codes belong to your log-in."))


def _seed_page(request: HttpRequest, authenticator: Authenticator, fault: str = "") -> HttpResponse:
    context = {
        **admin.site.each_context(request),
        "picture": factors.seed_picture(authenticator, issuer=str(_("Payments console"))),
        "seed": factors.seed_text(authenticator),
        "person": authenticator.user,
        "fault": fault,
    }
    return TemplateResponse(request, "admin/people/set_up.html", context)


# --- recovery codes ----------------------------------------------------------------------------------------
@require_POST
def new_recovery_codes(request: HttpRequest) -> HttpResponse:
    """Make ten new recovery codes; the old ones stop working."""
    person = _person(request)
    if not factor_is_fresh(request):
        return ask_for_factor(request, admin.site)
    if not factors.has_factor(person):
        return HttpResponseRedirect(reverse("admin:set_up_factor"))
    codes = factors.new_recovery_codes(person)
    note(request, "recovery_codes.made", about=person)
    return _codes_page(request, codes, to=reverse("admin:my_log_in"))


def _codes_page(request: HttpRequest, codes: list[str], *, to: str) -> HttpResponse:
    """The only page that ever shows them. Loading it again sends a code that no longer fits."""
    context = {**admin.site.each_context(request), "codes": codes, "to": to, "at": timezone.now()}
    return TemplateResponse(request, "admin/people/recovery_codes.html", context)


# --- one's own log-in --------------------------------------------------------------------------------------
def my_log_in(request: HttpRequest) -> HttpResponse:
    """Factor, recovery codes and sessions of the person who looks."""
    return _log_in_page(request, _person(request), title=_("Your log-in"))


@require_POST
def end_sessions(request: HttpRequest) -> HttpResponse:
    """End one of one's own sessions, or all but this one."""
    ended = _end_sessions(request, _person(request), but=sessions.session_of(request))
    _say_ended(request, ended)
    return HttpResponseRedirect(reverse("admin:my_log_in"))


def password_was_changed(request: HttpRequest) -> None:
    """Whoever knew the old password is put out."""
    person = _person(request)
    ended = sessions.end_all(person, now=timezone.now(), but=sessions.session_of(request))
    note(request, "password.changed", about=person, detail={"sessions": ended})
    tell(person, _("Password changed"), _("The password of your log-in was changed."))


# --- another person's --------------------------------------------------------------------------------------
def log_in_of(request: HttpRequest, person_id: int) -> HttpResponse:
    """What somebody who manages staff sees of another person's log-in, and may do to it."""
    person = _colleague(request, person_id)
    if request.method != "POST":
        return _log_in_page(request, person, title=_("Log-in of %(name)s") % {"name": person.get_username()})
    if request.POST.get("do") == "reset":
        if not factor_is_fresh(request):
            return ask_for_factor(request, admin.site)
        reset_factor(person)
        note(request, "factor.reset", about=person)
        messages.success(
            request,
            _("The authenticator of %(name)s is gone, and so are the sessions.") % {"name": person.get_username()},
        )
    else:
        _say_ended(request, _end_sessions(request, person, but=None))
    return HttpResponseRedirect(reverse("admin:log_in_of", args=[person.pk]))


def reset_factor(person: User) -> None:
    """Take a lost factor away and end what was opened with it. The caller writes down who did it."""
    factors.forget_factor(person)
    sessions.end_all(person, now=timezone.now())
    tell(
        person,
        _("Authenticator taken away"),
        _("An administrator took your authenticator and recovery codes away. You set up new ones at the next log-in."),
    )


def _colleague(request: HttpRequest, person_id: int) -> User:
    """Somebody else: one's own factor is replaced with the factor itself."""
    if not request.user.has_perm(MANAGE_STAFF):
        raise PermissionDenied
    if person_id == request.user.pk:
        raise Http404
    return get_object_or_404(User, pk=person_id, is_staff=True)


# --- shared ------------------------------------------------------------------------------------------------
def _person(request: HttpRequest) -> User:
    """Whoever looks at a page of the console; the site let them in."""
    if not isinstance(request.user, User) or not may_enter(request):
        raise PermissionDenied
    return request.user


def _end_sessions(request: HttpRequest, person: User, *, but: StaffSession | None) -> int:
    """End the session named in the form, or all but `but`. Returns how many."""
    now, wanted = timezone.now(), request.POST.get("session", "")
    if wanted == "all":
        ended = sessions.end_all(person, now=now, but=but)
    elif wanted.isascii() and wanted.isdigit() and len(wanted) < 19:
        ended = sessions.end_one(person, int(wanted), now=now)
    else:
        ended = 0
    if ended:
        note(request, "session.ended", about=person, detail={"sessions": ended})
    return ended


def _say_ended(request: HttpRequest, ended: int) -> None:
    said = ngettext("%(count)s session was ended.", "%(count)s sessions were ended.", ended) % {"count": ended}
    messages.success(request, said) if ended else messages.info(request, _("No such session was open any more."))


def _log_in_page(request: HttpRequest, person: User, *, title: str) -> HttpResponse:
    now: datetime = timezone.now()
    here = sessions.session_of(request)
    context = {
        **admin.site.each_context(request),
        "title": title,
        "person": person,
        "is_own": person.pk == request.user.pk,
        "factor": factors.factor_of(person),
        "codes_left": factors.recovery_codes_left(person),
        "codes_made": factors.RECOVERY_CODES,
        "sessions": [(row, here is not None and row.pk == here.pk) for row in sessions.open_sessions(person, now=now)],
    }
    return TemplateResponse(request, "admin/people/log_in.html", context)
