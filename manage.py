#!/usr/bin/env python
"""Django's command line: `manage.py help` lists the commands, README.md says when to use which."""

import os
import sys


def main() -> None:
    """Run one management command."""
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "payments_site.settings")
    from django.core.management import execute_from_command_line

    from channels_app import trail

    trail.command(" ".join(sys.argv[1:2]))  # whatever it changes is written down with its name
    execute_from_command_line(sys.argv)


if __name__ == "__main__":
    main()
