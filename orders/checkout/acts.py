"""What the page's forms ask for. Each is one call of a service, and leads to the page of what came of it."""

from collections.abc import Callable, Mapping

from django.http import HttpResponse, HttpResponseRedirect

from channels_app.providers.base import PayKind
from orders.asking import report_client_result
from orders.cancelling import cancel_order
from orders.checkout import pages
from orders.checkout.leaving import Code, qr_text, web_address
from orders.checkout.methods import HOSTED
from orders.checkout.stages import WAITING_FOR_GOODS, Stage
from orders.checkout.visit import Visit, read_again
from orders.fulfilment import fulfilment
from orders.limits import refuse_above
from orders.models import CancelReason
from orders.opening import open_payment
from orders.problems import Problem

_TRIES_PER_MINUTE = 3
# Kinds that a page can show, or leave by.
_LEAVING = (PayKind.QR, PayKind.REDIRECT, PayKind.FORM)


class SeeOther(HttpResponseRedirect):
    """To be fetched by GET, whatever brought the browser here."""

    status_code = 303


def act(visit: Visit) -> HttpResponse:
    """Do what a form asks for; a refusal is a page with its reason."""
    posted = visit.request.POST
    # A form of ours carries the token itself; to a way back it is tied by its address.
    action = _ACTIONS.get(posted.get("action", "")) if posted.get("token") else None
    if action is None:
        return _come_back(visit)
    try:
        return action(visit)
    except Problem as problem:
        refused = pages.Said(problem.code, method=posted.get("method", ""), status=problem.status)
        return pages.show(read_again(visit), refused)


def _come_back(visit: Visit) -> HttpResponse:
    """Some providers bring the browser back by a form of theirs. Nothing in it is believed, and nothing changes."""
    back = {"back": "1"} if visit.request.GET.get("back") else {}
    return SeeOther(visit.address(**back))


def _pay(visit: Visit) -> HttpResponse:
    """Open a payment and show its QR code, or the way to the provider's page."""
    if visit.stage is not Stage.OPEN:
        return HttpResponseRedirect(visit.address())
    choice = visit.choice(visit.request.POST.get("method", ""))
    if choice is None or (choice.kind not in _LEAVING and choice.code not in HOSTED):
        raise Problem(400, "method_not_offered", "This page does not offer that payment method.")
    opened = open_payment(
        order=visit.order, method=choice.code, inputs=choice.inputs, actor=visit.client.actor, now=visit.now
    )
    params = opened["params"]
    match opened["kind"]:
        case PayKind.QR:
            return pages.show_code(visit, choice, Code.of(qr_text(params), order=visit.order, now=visit.now))
        case PayKind.FORM:
            return pages.show_leaving_by_form(visit, choice, action=params["action"], fields=params["fields"])
        case _:
            return pages.show_leaving(visit, choice, web_address(params))


def _report(visit: Visit) -> HttpResponse:
    """ "I have paid": a hint, so the provider is asked at once."""
    report_client_result(
        order=visit.order, result="success", detail="checkout page", actor=visit.client.actor, now=visit.now
    )
    return HttpResponseRedirect(visit.address(back="1", notice="not_paid_yet"))


def _cancel(visit: Visit) -> HttpResponse:
    try:
        cancel_order(order=visit.order, reason=CancelReason.PLAYER, actor=visit.client.actor)
    except Problem as problem:
        if problem.status < 500:
            raise
        raise Problem(problem.status, "cannot_close", problem.detail) from None
    return HttpResponseRedirect(visit.address())


def _try_again(visit: Visit) -> HttpResponse:
    """Have the goods of a paid order tried now rather than later. Safe: what arrives twice is recognised there."""
    if visit.stage not in WAITING_FOR_GOODS:
        return HttpResponseRedirect(visit.address())
    refuse_above(_TRIES_PER_MINUTE, key=f"deliver-again:{visit.order.order_no}")
    hurried = fulfilment().try_now(order=visit.order)
    return HttpResponseRedirect(visit.address(notice="tried_again" if hurried else "tried_anyway"))


_ACTIONS: Mapping[str, Callable[[Visit], HttpResponse]] = {
    "pay": _pay,
    "result": _report,
    "cancel": _cancel,
    "again": _try_again,
}
