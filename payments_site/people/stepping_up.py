"""The page that asks for a code again before money, keys or rights move (see channels_app.console.stepping_up)."""

from django.contrib import admin
from django.contrib.auth.models import User
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import reverse
from django.views.decorators.cache import never_cache
from django.views.decorators.csrf import csrf_protect
from django.views.decorators.debug import sensitive_post_parameters

from channels_app.console.stepping_up import FORM_WAITS, factor_is_fresh, kept_fields, step_up_page
from payments_site.people import factors
from payments_site.people.login import fault_of, judge_code, local_address, now_verified
from payments_site.people.records import note


@never_cache
@sensitive_post_parameters("factor_code")
@csrf_protect
def step_up(request: HttpRequest) -> HttpResponse:
    """Prove the factor again, then go on; a form that waited is sent on with what it carried."""
    to = local_address(request, request.POST.get("factor_next") or request.GET.get("next"))
    person = request.user
    if not isinstance(person, User) or not (person.is_active and person.is_staff):
        return HttpResponseRedirect(reverse("admin:login"))
    if not factors.has_factor(person):
        return HttpResponseRedirect(to if factor_is_fresh(request) else reverse("admin:set_up_factor"))
    if request.method != "POST":
        return step_up_page(request, admin.site, to=to, kept=None)
    kept = kept_fields(request.POST) if FORM_WAITS in request.POST else None
    proof = judge_code(request, person)
    if not proof.holds:
        return step_up_page(request, admin.site, to=to, kept=kept, fault=fault_of(proof))
    now_verified(request, person)
    note(request, "factor.proven", about=person, detail={"factor": proof.value})
    # 307 has the browser send the same form once more, to the page that was waiting for it.
    return HttpResponseRedirect(to, preserve_request=kept is not None)
