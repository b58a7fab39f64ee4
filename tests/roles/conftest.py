"""People with roles, as the migration made them, and everything of the console's shop."""

import pytest
from django.contrib.auth.models import Group, Permission, User
from django.test import Client

from orders.models import GameStaff
from payments_site.people.roles import install
from tests.casefile.conftest import provider
from tests.console.conftest import busy_shop, shop, staff

__all__ = ["busy_shop", "provider", "shop", "staff"]


class Person:
    """A member of staff at a browser of their own."""

    def __init__(self, user: User):
        self.user = user
        self.browser = Client(HTTP_ACCEPT_LANGUAGE="en")
        self.browser.force_login(user)

    def get(self, address: str):
        return self.browser.get(address)

    def post(self, address: str, /, **fields):
        return self.browser.post(address, fields)

    def act(self, row, name: str, **fields):
        """Ask for an act on the page of a row."""
        meta = row._meta
        return self.post(f"/admin/{meta.app_label}/{meta.model_name}/{row.pk}/act/{name}/", **fields)


@pytest.fixture
def person(db):
    """`person("finance", games=[game])`: somebody with that role, limited to those games."""
    if not Group.objects.exists():  # a test on real transactions has emptied all tables
        install(Group, Permission)

    def hire(role: str = "", *, games=(), superuser=False, name="") -> Person:
        user = User.objects.create_user(
            name or f"{role or 'nobody'}{User.objects.count()}", is_staff=True, is_superuser=superuser
        )
        if role:
            user.groups.add(Group.objects.get(name=role))
        GameStaff.objects.bulk_create(GameStaff(user=user, game=game) for game in games)
        return Person(user)

    return hire
