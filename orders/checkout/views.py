"""The page's two addresses, its headers, and the language it is read in."""

import json
from collections.abc import Callable
from contextlib import nullcontext
from urllib.parse import urlsplit

from django.conf import settings
from django.core.exceptions import BadRequest, SuspiciousOperation
from django.http import HttpRequest, HttpResponse
from django.http.multipartparser import MultiPartParserError
from django.utils import translation
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_http_methods

from channels_app.providers.base import PayKind
from orders.checkout import pages
from orders.checkout.acts import act
from orders.checkout.leaving import Code, qr_text
from orders.checkout.stages import Stage
from orders.checkout.visit import Visit, read_visit
from orders.problems import Problem, problem_of

_LANGUAGE_KEPT_S = 365 * 24 * 3600


# Exempt from CSRF checks: no cookie authenticates anything here. The token is the credential, and every form
# carries it in its body; who can forge such a form holds the token already.
@csrf_exempt
@require_http_methods(["GET", "HEAD", "POST"])
def checkout(request: HttpRequest, order_no: str) -> HttpResponse:
    """`/checkout/{order_no}?token=…`: the page; its forms post back to it."""
    return _answer(request, order_no, act if request.method == "POST" else pages.show)


@csrf_exempt  # as above
@require_http_methods(["POST"])
def checkout_qr(request: HttpRequest, order_no: str) -> HttpResponse:
    """`/checkout/{order_no}/qr`: the page around a QR code that the script has opened through the API."""
    return _answer(request, order_no, _show_opened_code)


def _show_opened_code(visit: Visit) -> HttpResponse:
    """Draw what the API has just answered to the script."""
    posted = visit.request.POST
    choice = visit.choice(posted.get("method", ""))
    if visit.stage is not Stage.OPEN or choice is None or choice.kind is not PayKind.QR:
        return pages.show(visit)
    try:
        text = qr_text(json.loads(posted.get("params", "")))
    except (ValueError, AttributeError, RecursionError):
        text = ""
    try:
        code = Code.of(text, order=visit.order, now=visit.now)
    except Problem as problem:
        return pages.show(visit, pages.Said(problem.code, method=choice.code, status=problem.status))
    return pages.show_code(visit, choice, code)


def _answer(request: HttpRequest, order_no: str, view: Callable[[Visit], HttpResponse]) -> HttpResponse:
    chosen = _chosen_language(request)
    with translation.override(chosen) if chosen else nullcontext():
        try:
            response = view(read_visit(request, order_no))
        except (BadRequest, SuspiciousOperation, MultiPartParserError):
            raise  # not a browser's form: Django's own 400
        except Exception as error:  # noqa: BLE001  # a player never meets a stack trace or a bare code
            response = pages.sorry(request, problem_of(error))
        response.headers.setdefault("Content-Language", translation.get_language() or "en")
    if chosen:
        response.set_cookie(
            settings.LANGUAGE_COOKIE_NAME, chosen, max_age=_LANGUAGE_KEPT_S, path="/checkout/", httponly=True,
            secure=settings.SESSION_COOKIE_SECURE, samesite="Lax",
        )  # fmt: skip
    return _guarded(response)


def _guarded(response: HttpResponse) -> HttpResponse:
    stream = urlsplit(settings.STREAM_BASE_URL)
    leaves_for = f" {response.origin}" if isinstance(response, pages.LeavingByForm) else ""
    response["Content-Security-Policy"] = (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; "
        f"connect-src 'self' {stream.scheme}://{stream.netloc}; "
        f"form-action 'self'{leaves_for}; base-uri 'none'; frame-ancestors 'none'"
    )
    response["Referrer-Policy"] = "no-referrer"  # the token is in the address
    response["Cache-Control"] = "no-store"
    response["X-Robots-Tag"] = "noindex"
    return response


def _chosen_language(request: HttpRequest) -> str:
    wanted = request.GET.get("lang") or (request.POST.get("lang", "") if request.method == "POST" else "")
    return wanted if wanted in dict(settings.LANGUAGES) else ""
