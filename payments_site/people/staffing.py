"""Who works here and what they may do: a person with roles and games as JSON, in words, and changed by two people.

Nobody changes their own rights, neither as the one who asks nor as the one who approves. Who is a superuser is said
by `manage.py createsuperuser` alone. A new person gets a password that is shown once, to whoever made the person.
"""

import secrets
from collections.abc import Mapping
from typing import Any

from django.contrib.auth.models import Group, User
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from channels_app.proposals import Done, Kind, ProposalRefused, register
from orders.models import Game, GameStaff
from payments_site.people.roles import role_label
from payments_site.people.sessions import end_all

MANAGE = "payments_site.manage_staff"
KIND = "staff"
_PASSWORD_BYTES = 15


def snapshot(person: User) -> dict[str, Any]:
    """Everything about a person that a form can change."""
    games = GameStaff.objects.filter(user=person).order_by("game__code").values_list("game__code", flat=True)
    return {
        "username": person.username,
        "name": f"{person.last_name} {person.first_name}".strip(),
        "last_name": person.last_name,
        "first_name": person.first_name,
        "email": person.email,
        "is_active": person.is_active,
        "roles": list(person.groups.order_by("name").values_list("name", flat=True)),
        "games": list(games),
    }


def describe(person: Mapping[str, Any]) -> dict[str, str]:
    """A person in words."""
    return {
        _("user name"): person["username"],
        _("name"): person["name"],
        _("e-mail"): person["email"],
        _("may log in"): _("yes") if person["is_active"] else _("no"),
        _("roles"): ", ".join(role_label(name) for name in person["roles"]) or _("none"),
        _("games"): ", ".join(person["games"]) or _("all games"),
    }


def change_person(payload: Mapping[str, Any], by: Any) -> Done:
    """Make the person what was asked for, if they are still what they were then. Raises ProposalRefused."""
    before, after = payload["before"], payload["after"]
    name = after["username"]
    if by.get_username() == name:
        raise ProposalRefused(_("This is about yourself: two other people have to do it."))
    person = User.objects.select_for_update().filter(username=name).first()
    if (snapshot(person) if person else {}) != before:
        raise ProposalRefused(_("It has been changed since this was asked for. Look at it and ask again."))
    password = "" if person else secrets.token_urlsafe(_PASSWORD_BYTES)
    if person is None:
        person = User(username=name, is_staff=True)
        person.set_password(password)
    person.last_name, person.first_name, person.email = after["last_name"], after["first_name"], after["email"]
    person.is_active = after["is_active"]
    person.save()
    person.groups.set(Group.objects.filter(name__in=after["roles"]))
    _set_games(person, after["games"])
    end_all(person, now=timezone.now())
    if password:
        return Done(_("%(name)s works here now. This is the first password.") % {"name": name}, secret=password)
    return Done(_("%(name)s is changed and has to log in again.") % {"name": name})


def _set_games(person: User, codes: list[str]) -> None:
    """Which games a person works for; none means all."""
    GameStaff.objects.filter(user=person).exclude(game__code__in=codes).delete()
    for game in Game.objects.filter(code__in=codes):
        GameStaff.objects.get_or_create(user=person, game=game)


def new_password(person: User) -> str:
    """A new password for somebody who forgot theirs; their sessions end. Shown once by whoever calls this."""
    password = secrets.token_urlsafe(_PASSWORD_BYTES)
    person.set_password(password)
    person.save(update_fields=["password"])
    end_all(person, now=timezone.now())
    return password


def switch_off(person: User) -> bool:
    """Keep a person out from now on, alone and at once: waiting for a colleague could cost. False: they were out."""
    done = User.objects.filter(pk=person.pk, is_active=True).update(is_active=False)
    end_all(person, now=timezone.now())
    return bool(done)


register(Kind(KIND, gettext_lazy("Member of staff, roles and games"), MANAGE, change_person))
