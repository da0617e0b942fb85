"""The help desk at the root, as its documentation has it, and its entry for API keys."""

from django.contrib import admin
from django.urls import include, path

from desk_keys import api_keys

urlpatterns = [
    path("admin/", admin.site.urls),
    path("settings/api-keys/", api_keys, name="api_keys"),
    path("", include("helpdesk.urls")),
]
