"""`create_channel CODE --name N`: a sales channel (渠道)."""

from typing import Any

from django.core.exceptions import ValidationError
from django.core.management.base import BaseCommand, CommandError, CommandParser

from channels_app.models import Channel


class Command(BaseCommand):
    help = "Create a sales channel, or rename the one with this code."

    def add_arguments(self, parser: CommandParser) -> None:
        """Arguments of contract section 1."""
        parser.add_argument("code", help="what orders carry as channel_id: letters, digits, - and _, at most 32")
        parser.add_argument("--name", required=True)

    def handle(self, *args: Any, code: str, name: str, **options: Any) -> None:
        """Create or rename."""
        channel = Channel.objects.filter(code=code).first() or Channel(code=code)
        channel.name = name
        try:
            channel.full_clean()
        except ValidationError as error:
            raise CommandError("; ".join(error.messages)) from error
        channel.save()
        self.stdout.write(f"channel {channel.code}: {channel.name}")
