"""People with passwords and authenticators, where a second factor is required as in production."""

import pytest
from django.contrib.auth.models import User

from tests.console.conftest import busy_shop, shop  # noqa: F401  # fixtures
from tests.people.steps import authenticator_of

PASSWORD = "correct horse battery staple"


@pytest.fixture(autouse=True)
def _as_in_production(settings):
    settings.CONSOLE_SECOND_FACTOR = "required"
    # Forty log-ins in a row are about counting, not about hashing.
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher", *settings.PASSWORD_HASHERS]


@pytest.fixture
def person(db) -> User:
    """A member of staff without a factor, who may see everything."""
    return User.objects.create_superuser("lin", email="lin@example.com", password=PASSWORD)


@pytest.fixture
def authenticator(person):
    """The authenticator of `person`."""
    return authenticator_of(person)
