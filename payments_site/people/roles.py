"""Roles: who may do what, as one grid (docs/console.md, section 6). The groups of the database are made from it.

Six roles of the grid and a seventh for engineers, who look after accounts, addresses and jobs and touch no money.
What needs a second person is asked for by those named here and done by another of them (channels_app.proposals).
Nobody may change or delete the audit trail, the ledger or a notification (row 24): there is no permission for it.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from django.utils.translation import gettext_lazy as _

if TYPE_CHECKING:
    from django_stubs_ext import StrPromise


class Role(StrEnum):
    """The names of the groups: stable codes; `ROLE_LABELS` has the words."""

    ADMIN = "admin"
    OPERATIONS = "operations"
    SUPPORT = "support"
    FINANCE = "finance"
    AUDIT = "audit"
    ENGINEER = "engineer"


ROLE_LABELS = {
    Role.ADMIN: _("Administration"),
    Role.OPERATIONS: _("Operations"),
    Role.SUPPORT: _("Customer service"),
    Role.FINANCE: _("Finance"),
    Role.AUDIT: _("Audit"),
    Role.ENGINEER: _("Engineering"),
}


def role_label(name: str) -> str:
    """A group's name in words."""
    return str(ROLE_LABELS.get(Role(name), name)) if name in set(Role) else name


_A, _O, _K, _F, _R, _E = (
    Role.ADMIN, Role.OPERATIONS, Role.SUPPORT, Role.FINANCE, Role.AUDIT, Role.ENGINEER,
)  # fmt: skip
EVERYBODY = frozenset(Role)


@dataclass(frozen=True, slots=True)
class Row:
    """One action of the grid: its number, what it is, who may, through which permissions."""

    number: int
    says: "StrPromise | str"
    roles: frozenset[Role]
    permissions: tuple[str, ...]
    second_person: bool = False


def _row(
    number: int, says: "StrPromise | str", roles: Iterable[Role], *permissions: str, second_person: bool = False
) -> Row:
    return Row(number, says, frozenset(roles), permissions, second_person)


GRID = (
    _row(1, _("see order by number"), EVERYBODY, "orders.view_order"),
    _row(2, _("list all orders of a day"), (_A, _O, _F, _R), "orders.list_orders"),
    _row(3, _("see totals, turnover"), (_A, _O, _F, _R), "orders.view_totals"),
    _row(4, _("reveal personal data"), (_A, _K), "orders.reveal_personal", "channels_app.view_raw_notification"),
    _row(5, _("ask the provider for the state"), (_A, _O, _K, _F, _E), "orders.ask_provider"),
    _row(6, _("redeliver"), (_A, _O, _K), "fulfillment.redeliver", "fulfillment.change_webhookmessage"),
    _row(7, _("request refund"), (_A, _O, _K, _F), "orders.request_refund"),
    _row(8, _("approve refund"), (_A, _O, _F), "orders.approve_refund", second_person=True),
    _row(9, _("request manual grant"), (_A, _O, _K), "fulfillment.request_grant"),
    _row(10, _("approve manual grant"), (_A, _O), "fulfillment.approve_grant", second_person=True),
    _row(11, _("mark paid by hand"), (_A, _O, _F), "orders.mark_paid", second_person=True),
    _row(12, _("close/annotate case"), (_A, _O, _K, _F, _E), "orders.close_case", "orders.add_note"),
    _row(
        13, _("edit product/price"), (_A, _O), "orders.edit_product",
        "orders.add_product", "orders.change_product",
        "orders.add_productprice", "orders.change_productprice", "orders.delete_productprice",
        "fulfillment.add_productgrant", "fulfillment.change_productgrant", "fulfillment.delete_productgrant",
        "fulfillment.add_item", "fulfillment.change_item",
        second_person=True,
    ),
    _row(
        14, _("edit channel account, keys"), (_A, _E), "channels_app.edit_account",
        "channels_app.add_merchantaccount", "channels_app.change_merchantaccount",
        "channels_app.add_channel", "channels_app.change_channel",
        "channels_app.add_channelmethod", "channels_app.change_channelmethod",
        second_person=True,
    ),
    _row(15, _("edit webhook URL/secret"), (_A, _O, _E), "fulfillment.edit_endpoint", second_person=True),
    _row(16, _("upload bill, run reconciliation"), (_A, _F), "orders.reconcile"),
    _row(17, _("resolve difference"), (_A, _F), "orders.resolve_difference", second_person=True),
    _row(18, _("close month"), (_F,), "orders.close_month", second_person=True),
    _row(19, _("export orders (masked)"), (_A, _O, _F, _R), "orders.export_orders"),
    _row(20, _("export with personal data"), (_A, _F), "orders.export_personal", second_person=True),
    _row(21, _("retry/cancel jobs"), (_A, _O, _E), "orders.manage_jobs"),
    _row(22, _("manage staff and roles"), (_A,), "payments_site.manage_staff", second_person=True),
    _row(23, _("read audit log"), (_A, _R), "channels_app.view_auditentry", "channels_app.view_auditseal"),
    _row(24, _("change or delete audit, ledger, notification rows"), ()),
)  # fmt: skip


def _view(*models: str) -> tuple[str, ...]:
    return tuple(f"{app}.view_{name}" for app, _dot, name in (model.partition(".") for model in models))


# What one has to see to answer a player: an order from beginning to end, the player, what the game was told.
_CASE_WORK = _view(
    "orders.order", "orders.orderevent", "orders.paymentattempt", "orders.payment", "orders.case", "orders.note",
    "orders.product", "orders.productprice", "orders.game", "orders.reviewer",
    "fulfillment.player", "fulfillment.item", "fulfillment.productgrant", "fulfillment.delivery",
    "fulfillment.deliveryline", "fulfillment.ledgerentry", "fulfillment.balance", "fulfillment.gameevent",
    "fulfillment.webhookmessage", "fulfillment.webhookattempt",
    "channels_app.channel", "channels_app.channelmethod", "channels_app.notification",
)  # fmt: skip
_SET_UP = _view(
    "channels_app.merchantaccount", "channels_app.refusedtally", "orders.apikey",
    "fulfillment.webhookendpoint", "fulfillment.deliverypolicy",
)  # fmt: skip
_BOOKS = _view("orders.revenueday", "orders.revenuehour", "orders.payer")
_JOBS = _view("orders.job", "orders.jobrow", "orders.exportfile")
_PROPOSALS = _view("channels_app.proposal")
_PEOPLE = _view(
    "auth.user", "auth.group", "orders.gamestaff", "payments_site.staffsession", "payments_site.authenticator",
    "payments_site.recoverycode",
)  # fmt: skip

# A store's reviewers get goods for play money for some days: listed by one person of those who set what things cost,
# because a review does not wait for a second.
_REVIEWERS = "orders.edit_reviewer"

# What the roles need around the grid: mostly to see what they work on.
BESIDES: Mapping[Role, tuple[str, ...]] = {
    _A: (
        *_CASE_WORK, *_SET_UP, *_BOOKS, *_JOBS, *_PROPOSALS, *_PEOPLE, _REVIEWERS,
        "orders.change_game", "orders.change_apikey", "fulfillment.change_webhookendpoint",
        "fulfillment.add_deliverypolicy", "fulfillment.change_deliverypolicy",
    ),
    _O: (*_CASE_WORK, *_SET_UP, *_BOOKS, *_JOBS, *_PROPOSALS, _REVIEWERS, "fulfillment.change_webhookendpoint"),
    _K: _CASE_WORK,
    _F: (*_CASE_WORK, *_view("channels_app.merchantaccount"), *_BOOKS, *_JOBS, *_PROPOSALS),
    _R: (*_CASE_WORK, *_SET_UP, *_BOOKS, *_JOBS, *_PROPOSALS, *_PEOPLE),
    _E: (
        *_CASE_WORK, *_SET_UP, *_JOBS, *_PROPOSALS,
        "orders.change_game", "orders.change_apikey", "fulfillment.change_webhookendpoint",
        "fulfillment.add_deliverypolicy", "fulfillment.change_deliverypolicy",
    ),
}  # fmt: skip


def permissions_of(role: Role) -> frozenset[str]:
    """Everything a role may do, as "app.codename"."""
    rows = (permission for row in GRID if role in row.roles for permission in row.permissions)
    return frozenset((*rows, *BESIDES[role]))


def install(group_model: Any, permission_model: Any) -> None:
    """Make the groups what the grid says. Called by migrations, with the models of their time: a permission that does
    not exist yet is given by a later one.
    """
    known = {
        f"{app}.{code}": pk
        for app, code, pk in permission_model.objects.values_list("content_type__app_label", "codename", "pk")
    }
    for role in Role:
        group, _made = group_model.objects.get_or_create(name=role.value)
        group.permissions.set([known[name] for name in sorted(permissions_of(role)) if name in known])
