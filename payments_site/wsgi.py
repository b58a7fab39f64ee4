"""The web process's entry: API, notifications, console, checkout."""

import os

from django.core.wsgi import get_wsgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "payments_site.settings")
application = get_wsgi_application()
