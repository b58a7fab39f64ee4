"""The stream process's entry: event streams and long polls of orders."""

import os
import resource

import django

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "payments_site.settings")
django.setup()
# Every listener holds a socket; many systems allow a process 1,024 open files unless it asks for more.
_files = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
resource.setrlimit(resource.RLIMIT_NOFILE, (_files, _files))

from fulfillment.streaming import application  # noqa: E402  # needs Django set up

__all__ = ["application"]
