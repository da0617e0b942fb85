"""Settings of a small django-helpdesk: SQLite, loopback, REST API on.

Everything that differs between two desks lies in the folder that DESK_DATA names.
"""

import os
from pathlib import Path

from django.contrib.auth.hashers import PBKDF2PasswordHasher
from django.core.management.utils import get_random_secret_key

DATA = Path(os.environ["DESK_DATA"])


def _secret_key():
    """The key that signs sessions: made once, kept beside the database."""
    path = DATA / "django-secret-key"
    if not path.exists():
        path.touch(mode=0o600)
        path.write_text(get_random_secret_key())
    return path.read_text()


SECRET_KEY = _secret_key()
DEBUG = False

# Keygate passes the client's Host on and says with X-Forwarded-Proto how the client came, so that the links
# in the desk's answers lead back through Keygate.
ALLOWED_HOSTS = ["localhost", "127.0.0.1", "[::1]"]
SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")

INSTALLED_APPS = [
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "django.contrib.sites",
    "django.contrib.humanize",
    "rest_framework",
    "helpdesk",
]
MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
]
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [Path(__file__).parent / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ]
        },
    }
]
ROOT_URLCONF = "desk_urls"
DATABASES = {"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": DATA / "desk.sqlite3"}}
DEFAULT_AUTO_FIELD = "django.db.models.AutoField"
SITE_ID = 1
TIME_ZONE = "UTC"
USE_TZ = True
MEDIA_ROOT = DATA / "media"
STATIC_URL = "/static/"
LOGIN_URL = "/login/"

# Nobody's mail server is bothered: mails lie in a folder.
EMAIL_BACKEND = "django.core.mail.backends.filebased.EmailBackend"
EMAIL_FILE_PATH = DATA / "mail"

HELPDESK_API_ENABLED = True
HELPDESK_TEAMS_MODE_ENABLED = False  # Teams would need one package more.


class QuickHasher(PBKDF2PasswordHasher):
    """Every API call checks the password again, and it is 32 random bytes, which no slow hash makes safer."""

    iterations = 1


PASSWORD_HASHERS = ["desk_settings.QuickHasher"]
