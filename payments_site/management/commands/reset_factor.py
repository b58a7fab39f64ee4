"""`reset_factor`: takes a lost authenticator away, for when nobody is left who could do it in the console."""

import getpass
from typing import Any

from django.contrib.auth.models import User
from django.core.management.base import BaseCommand, CommandError, CommandParser

from channels_app.models import AuditEntry
from payments_site.people.account import reset_factor


class Command(BaseCommand):
    help = "Take a person's authenticator and recovery codes away and end their sessions; they set up new ones."

    def add_arguments(self, parser: CommandParser) -> None:
        """Arguments."""
        parser.add_argument("user_name")

    def handle(self, *args: Any, **options: Any) -> None:
        """Reset, and write down who did it on which machine's account."""
        person = User.objects.filter(username=options["user_name"], is_staff=True).first()
        if person is None:
            raise CommandError("there is no member of staff of that name")
        reset_factor(person)
        AuditEntry.objects.create(
            actor=f"{getpass.getuser()} (manage.py)"[:150],
            action="factor.reset",
            subject=User._meta.label_lower,
            subject_id=str(person.pk),
            label=person.get_username()[:200],
        )
        self.stdout.write(f"{person.get_username()} sets up a new authenticator at the next log-in.")
