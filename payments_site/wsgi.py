"""Django as a plain WSGI application, for other servers. Our own web process enters through payments_site.web."""

import os

from django.core.wsgi import get_wsgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "payments_site.settings")
application = get_wsgi_application()
