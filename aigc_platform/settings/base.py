"""Settings that hold in every environment; what differs comes from the variables in `env.Env`."""

from typing import Any

import django_stubs_ext

from aigc_platform.settings import console
from aigc_platform.settings.env import REPOSITORY_DIR, database_settings, load_env
from aigc_platform.settings.logs import configure_structlog, logging_config

# Lets `ModelAdmin[Job]` and the like be written at run time as the type checker reads them.
django_stubs_ext.monkeypatch()

ENV = load_env()

BASE_DIR = REPOSITORY_DIR
DATA_DIR = ENV.data_dir

SECRET_KEY = ENV.secret_key.get_secret_value()
DEBUG = False

PUBLIC_URL = ENV.public_url
EVENTS_URL = ENV.events_url or PUBLIC_URL
ALLOWED_HOSTS = [*dict.fromkeys((ENV.public_host, "localhost", "127.0.0.1", *ENV.allowed_hosts))]
CSRF_TRUSTED_ORIGINS = [PUBLIC_URL]

DATABASES: dict[str, dict[str, Any]] = {
    "default": {
        **database_settings(ENV.database_url.get_secret_value()),
        # Connections live as long as their process and are checked before use.
        "CONN_MAX_AGE": None,
        "CONN_HEALTH_CHECKS": True,
    }
}

BROKER_URL = ENV.broker_url.get_secret_value()

S3_ENDPOINT_URL = ENV.s3_endpoint_url
S3_PUBLIC_ENDPOINT_URL = ENV.s3_public_endpoint_url or S3_ENDPOINT_URL
S3_ACCESS_KEY_ID = ENV.s3_access_key_id
S3_SECRET_ACCESS_KEY = ENV.s3_secret_access_key.get_secret_value()
S3_BUCKET = ENV.s3_bucket
S3_REGION = ENV.s3_region

WORKERS_PER_HOST = ENV.workers_per_host
WORKER_DEVICE = ENV.worker_device
WORKER_DEVICE_COUNT = ENV.worker_device_count
MLFLOW_TRACKING_URI = ENV.mlflow_tracking_uri.get_secret_value()
LEASE_SECONDS = ENV.lease_seconds
HEARTBEAT_SECONDS = ENV.heartbeat_seconds
REAPER_INTERVAL_SECONDS = ENV.reaper_interval_seconds
CHECKPOINT_SECONDS = ENV.checkpoint_seconds
DATABASE_ANSWER_SECONDS = ENV.database_answer_seconds
RECOVERY_DELAY_SECONDS = ENV.recovery_delay_seconds
STALL_SECONDS = ENV.stall_seconds
# How often the engine tidies the store, and how old an object without a row must be before it goes.
SWEEP_INTERVAL_SECONDS = 60.0
GARBAGE_SECONDS = 24 * 3600
# How long a runner may take to stop before it is killed: without keeping its work, and with a last checkpoint.
CANCEL_GRACE_SECONDS = 30.0
CHECKPOINT_GRACE_SECONDS = 90.0
QUEUE_MAX_JOBS = ENV.queue_max_jobs

UPLOAD_MAX_BYTES = ENV.upload_max_bytes
GENERATION_MAX_COUNT = ENV.generation_max_count
JSON_BODY_MAX_BYTES = ENV.json_body_max_bytes
# Django's own limit is the second line behind the API's, which answers with a problem document.
DATA_UPLOAD_MAX_MEMORY_SIZE = JSON_BODY_MAX_BYTES

WEBHOOK_ALLOWED_HOSTS = frozenset(host.lower() for host in ENV.webhook_allowed_hosts)

FASHION_MNIST_DIR = ENV.fashion_mnist_dir

INSTALLED_APPS = [
    # Unfold replaces the admin's templates, so it comes before the admin.
    "unfold",
    "unfold.contrib.filters",
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "rest_framework",
    "django_filters",
    "drf_spectacular",
    "drf_spectacular_sidecar",
    "aigc_platform.accounts",
    "aigc_platform.api",
    "aigc_platform.storage",
    "aigc_platform.jobs",
    "aigc_platform.datasets",
    "aigc_platform.registry",
    "aigc_platform.studio",
    "aigc_platform.webhooks",
    "aigc_platform.console",
    "aigc_platform.standalone",
]

MIDDLEWARE = [
    # The trace id is in every answer and log line, so it comes first; then what is refused unread.
    "aigc_platform.api.tracing.TracingMiddleware",
    "aigc_platform.api.limits.BodyLimitMiddleware",
    "django.middleware.security.SecurityMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
]

TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
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

ROOT_URLCONF = "aigc_platform.urls"
WSGI_APPLICATION = "aigc_platform.wsgi.application"
ASGI_APPLICATION = "aigc_platform.asgi.application"

AUTH_USER_MODEL = "accounts.User"
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": f"django.contrib.auth.password_validation.{name}"}
    for name in (
        "UserAttributeSimilarityValidator",
        "MinimumLengthValidator",
        "CommonPasswordValidator",
        "NumericPasswordValidator",
    )
]
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

LANGUAGE_CODE = "en-us"
TIME_ZONE = "UTC"
USE_I18N = True
USE_TZ = True

STATIC_URL = "/static/"
STATIC_ROOT = DATA_DIR / "static"

X_FRAME_OPTIONS = "DENY"
SECURE_REFERRER_POLICY = "same-origin"
SESSION_COOKIE_HTTPONLY = True
CSRF_COOKIE_HTTPONLY = True

REST_FRAMEWORK: dict[str, Any] = {
    "DEFAULT_AUTHENTICATION_CLASSES": ["aigc_platform.accounts.authentication.TokenAuthentication"],
    "DEFAULT_PERMISSION_CLASSES": ["aigc_platform.api.permissions.HasScope"],
    "DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.JSONRenderer"],
    "DEFAULT_PARSER_CLASSES": ["aigc_platform.api.parsers.StrictJSONParser"],
    "DEFAULT_FILTER_BACKENDS": ["aigc_platform.api.queries.QueryFilterBackend"],
    "DEFAULT_PAGINATION_CLASS": "aigc_platform.api.pagination.CursorPagination",
    "DEFAULT_SCHEMA_CLASS": "drf_spectacular.openapi.AutoSchema",
    "EXCEPTION_HANDLER": "aigc_platform.api.exception_handler.exception_handler",
    "TEST_REQUEST_DEFAULT_FORMAT": "json",
}

SPECTACULAR_SETTINGS: dict[str, Any] = {
    "TITLE": "aigc-platform",
    "DESCRIPTION": "Train generative networks and generate labelled content: jobs in, files out.",
    "VERSION": "1",
    "OAS_VERSION": "3.1.0",
    "SERVE_INCLUDE_SCHEMA": False,
    "COMPONENT_SPLIT_REQUEST": True,
    "SCHEMA_PATH_PREFIX": r"/api/v1",
    "SERVE_PERMISSIONS": ["rest_framework.permissions.AllowAny"],
    "SERVE_AUTHENTICATION": [],
    "POSTPROCESSING_HOOKS": [
        "drf_spectacular.hooks.postprocess_schema_enums",
        "aigc_platform.api.schema.add_problem_responses",
    ],
    # Scripts and styles come with the sidecar package: no page of ours loads from another host.
    "SWAGGER_UI_DIST": "SIDECAR",
    "SWAGGER_UI_FAVICON_HREF": "SIDECAR",
    "REDOC_DIST": "SIDECAR",
}

UNFOLD = console.UNFOLD

configure_structlog()
LOGGING = logging_config(level=ENV.log_level, log_format=ENV.log_format)
