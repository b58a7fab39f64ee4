"""The pages of people and roles: who works here, as what, for which games, and how they log in.

Roles are read here and made by the grid (payments_site.people.roles): a role that somebody clicked together would be
in nobody's test.
"""

from typing import Any, ClassVar

from django import forms
from django.contrib import admin
from django.contrib.auth.models import Group, User
from django.db.models import Exists, OuterRef, Prefetch, QuerySet
from django.http import HttpRequest
from django.urls import reverse
from django.utils import timezone
from django.utils.html import format_html
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from channels_app.console.audit import ReasonForm
from channels_app.console.pages import Act, ActRefused, Panel, ReadOnlyAdmin, history, table
from channels_app.console.proposing import FormProposal, ProposingAdmin, ReasonedForm
from channels_app.console.words import column, link, mark
from channels_app.proposals import Asked
from orders.models import Game, GameStaff
from payments_site.models import Authenticator
from payments_site.people import staffing
from payments_site.people.roles import GRID, Role, role_label
from payments_site.people.sessions import end_all, open_sessions


class RoleChoice(forms.ModelMultipleChoiceField[Group]):
    """Roles by their names in words."""

    def label_from_instance(self, group: Any) -> str:
        """The name in words."""
        return role_label(group.name)


class GameChoice(forms.ModelMultipleChoiceField[Game]):
    """Games by their names."""

    def label_from_instance(self, game: Any) -> str:
        """The name."""
        return str(game.name)


class PersonForm(ReasonedForm):
    """A person, their roles, and the games they work for."""

    groups = RoleChoice(
        label=gettext_lazy("Roles"),
        queryset=Group.objects.order_by("pk"),
        required=False,
        widget=forms.CheckboxSelectMultiple,
        help_text=gettext_lazy("Without a role a person can log in and sees nothing."),
    )
    limited_to = GameChoice(
        label=gettext_lazy("Games"),
        queryset=Game.objects.order_by("code"),
        required=False,
        widget=forms.CheckboxSelectMultiple,
        help_text=gettext_lazy("None chosen: all games, those to come too. Chosen: these and no others."),
    )

    class Meta:
        model = User
        fields = ("username", "last_name", "first_name", "email", "is_active", "groups")

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        """With the games the person works for now."""
        super().__init__(*args, **kwargs)
        if "is_active" in self.fields:
            self.fields["is_active"].label, self.fields["is_active"].help_text = _("may log in"), ""
        if self.instance.pk and "limited_to" in self.fields:
            self.fields["limited_to"].initial = list(
                GameStaff.objects.filter(user=self.instance).values_list("game_id", flat=True)
            )


def _sessions(request: HttpRequest, person: User) -> Panel:
    return table(
        _("Open sessions"),
        open_sessions(person, now=timezone.now()),
        [
            (_("Began"), lambda session: session.began_at),
            (_("Last used"), lambda session: session.last_seen_at),
            (_("From address"), lambda session: session.address),
            (_("Browser"), lambda session: session.browser),
        ],
        empty=_("Not logged in anywhere."),
    )


def _switch_off(request: HttpRequest, person: User, given: dict[str, Any]) -> str:
    if not staffing.switch_off(person):
        raise ActRefused(_("Somebody else has just done that."))
    return _("%(name)s cannot log in any more, and is logged out everywhere.") % {"name": person.username}


def _end_sessions(request: HttpRequest, person: User, given: dict[str, Any]) -> str:
    return _("Sessions ended: %(count)s.") % {"count": end_all(person, now=timezone.now())}


def _new_password(request: HttpRequest, person: User, given: dict[str, Any]) -> Asked:
    password = staffing.new_password(person)
    return Asked(_("This is the new password of %(name)s.") % {"name": person.username}, secret=password)


def _not_off(person: User) -> str:
    return "" if person.is_active else _("This person is switched off already.")


def _roles(person: User) -> str:
    if person.is_superuser:
        return _("superuser: everything")
    return ", ".join(role_label(group.name) for group in person.groups.all())


def _games(person: User) -> str:
    return ", ".join(row.game.name for row in person.games.all()) or _("all games")


def _factor(person: Any) -> object:
    return mark(_("set up"), "done") if person.has_factor else mark(_("not set up"), "decide")


def _standing(person: User) -> object:
    return mark(_("may log in"), "done") if person.is_active else mark(_("switched off"), "quiet")


def _log_in(person: User) -> object:
    return format_html('<a href="{}">{}</a>', reverse("admin:log_in_of", args=(person.pk,)), _("Factor and sessions"))


class PersonAdmin(ProposingAdmin[User]):
    """Everybody who can open the console."""

    form = PersonForm
    proposing = FormProposal(staffing.KIND, staffing.snapshot, staffing.describe)
    ordering = ("-pk",)
    list_display = ("username", "called", "roles", "works_for", "factor", "open_now", "last_login", "standing")
    search_help_text = gettext_lazy("User name, exactly.")
    list_note = gettext_lazy(
        "Roles and games are changed by two people; nobody changes their own. A person is never deleted: the trail"
        " names them."
    )
    panels = (_sessions, history)
    readonly_shown: ClassVar[tuple[str, ...]] = ("standing", "factor", "log_in", "last_login", "date_joined")

    called = column(gettext_lazy("name"), lambda person: f"{person.last_name} {person.first_name}".strip())
    roles = column(gettext_lazy("roles"), _roles)
    works_for = column(gettext_lazy("games"), _games)
    factor = column(gettext_lazy("second factor"), _factor)
    open_now = column(gettext_lazy("open sessions"), lambda person: len(open_sessions(person, now=timezone.now())))
    standing = column(gettext_lazy("state"), _standing)
    log_in = column(gettext_lazy("log-in"), _log_in)
    acts = (
        Act(
            name="switch_off",
            label=gettext_lazy("Switch off"),
            permission=staffing.MANAGE,
            effect=lambda person: [
                _("This person cannot log in any more; every open session ends now."),
                _("You can do this alone. Letting somebody in again takes two people."),
            ],
            hindrance=_not_off,
            perform=_switch_off,
            form=ReasonForm,
            step_up=True,
        ),
        Act(
            name="end_sessions",
            label=gettext_lazy("End all sessions"),
            permission=staffing.MANAGE,
            effect=lambda person: [_("This person has to log in again, everywhere.")],
            hindrance=lambda person: "" if open_sessions(person, now=timezone.now()) else _("Not logged in anywhere."),
            perform=_end_sessions,
            form=ReasonForm,
            step_up=True,
        ),
        Act(
            name="password",
            label=gettext_lazy("New password"),
            permission=staffing.MANAGE,
            effect=lambda person: [
                _("The old password stops working; a new one is shown once, to whoever makes it."),
                _("Every open session ends. The second factor stays."),
            ],
            hindrance=_not_off,
            perform=_new_password,
            step_up=True,
            two_people=True,
            version=lambda person: person.is_active,
        ),
    )

    def get_queryset(self, request: HttpRequest) -> QuerySet[User]:
        """With what the list shows of each."""
        factors = Authenticator.objects.filter(user=OuterRef("pk"), confirmed=True)
        games = Prefetch("games", GameStaff.objects.select_related("game").order_by("game__code"))
        rows = super().get_queryset(request).filter(is_staff=True)
        return rows.annotate(has_factor=Exists(factors)).prefetch_related("groups", games)

    def get_fieldsets(self, request: HttpRequest, obj: User | None = None) -> Any:
        """What is asked of a new person, and what is shown of one who is here."""
        asked = ["last_name", "first_name", "email", "is_active", "groups", "limited_to", "reason", "ticket"]
        if obj is None:
            return [(None, {"fields": ["username", *asked]})]
        if self.has_change_permission(request, obj):
            return [(None, {"fields": [*self.readonly_shown, *asked]})]
        return [(None, {"fields": ["username", "called", "email", "roles", "works_for", *self.readonly_shown]})]

    def get_readonly_fields(self, request: HttpRequest, obj: User | None = None) -> tuple[str, ...]:
        """A user name stands in the trail: it never changes."""
        return ("username", "called", "roles", "works_for", *self.readonly_shown) if obj else ()

    def has_view_permission(self, request: HttpRequest, obj: User | None = None) -> bool:
        """Whoever manages or audits people."""
        return bool(request.user.has_perm("auth.view_user"))

    def has_add_permission(self, request: HttpRequest) -> bool:
        """Whoever manages people."""
        return bool(request.user.has_perm(staffing.MANAGE))

    def has_change_permission(self, request: HttpRequest, obj: User | None = None) -> bool:
        """Whoever manages people; never oneself, and a superuser only by another."""
        may = bool(request.user.has_perm(staffing.MANAGE))
        return may and (obj is None or not why_not_here(request, obj))

    def hindrance(self, request: HttpRequest, act: Act, row: User) -> object:
        """Never oneself, and a superuser only by another."""
        return why_not_here(request, row) or super().hindrance(request, act, row)

    def headline(self, row: User) -> str:
        """What this person may do, in one sentence."""
        return _("%(roles)s · %(games)s") % {"roles": _roles(row) or _("no role"), "games": _games(row)}

    def save_related(self, request: HttpRequest, form: Any, formsets: Any, change: bool) -> None:  # noqa: FBT001
        """With the games, which are rows of their own."""
        person = form.instance
        GameStaff.objects.filter(user=person).delete()
        GameStaff.objects.bulk_create(GameStaff(user=person, game=game) for game in form.cleaned_data["limited_to"])
        super().save_related(request, form, formsets, change)

    def find(self, term: str) -> list[QuerySet[User]]:
        """By user name."""
        return [User.objects.filter(username=term)]


def why_not_here(request: HttpRequest, person: User) -> str:
    """Why this person's page changes nothing for whoever looks at it."""
    if person.pk == request.user.pk:
        return _("This is you: two other people have to do it.")
    if person.is_superuser and not getattr(request.user, "is_superuser", False):
        return _("A superuser is changed by another superuser only.")
    return ""


def _grid(request: HttpRequest, group: Group) -> Panel:
    rows = [row for row in GRID if group.name in row.roles]
    return table(
        _("What this role may do"),
        rows,
        [
            (_("No."), lambda row: row.number),
            (_("What"), lambda row: row.says),
            (_("Second person"), lambda row: _("yes") if row.second_person else ""),
        ],
        empty=_("Nothing of the grid."),
    )


def _members(request: HttpRequest, group: Group) -> Panel:
    people = User.objects.filter(groups=group, is_staff=True).order_by("username")
    return table(
        _("Who has it"),
        people,
        [(_("Who"), link), (_("State"), _standing), (_("Last log-in"), lambda person: person.last_login)],
        empty=_("Nobody."),
    )


class RoleAdmin(ReadOnlyAdmin[Group]):
    """The roles, to be read: what each may do and who has it."""

    game_path = ""
    ordering = ("pk",)
    list_display = ("called", "people", "code")
    fields = ("called", "code")
    panels = (_grid, _members, history)
    list_note = gettext_lazy(
        "Roles come with the software, one grid for all; people are given roles on their own pages."
    )
    called = column(gettext_lazy("role"), lambda group: role_label(group.name))
    code = column(gettext_lazy("code"), lambda group: group.name)
    people = column(gettext_lazy("people"), lambda group: group.user_set.filter(is_active=True).count())

    def get_queryset(self, request: HttpRequest) -> QuerySet[Group]:
        """The roles of the grid."""
        return super().get_queryset(request).filter(name__in=list(Role))


def put_on(site: admin.AdminSite) -> None:
    """Instead of the pages that Django brings for people and groups."""
    for model in (User, Group):
        if site.is_registered(model):
            site.unregister(model)
    site.register(User, PersonAdmin)
    site.register(Group, RoleAdmin)
