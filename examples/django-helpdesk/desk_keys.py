"""Settings → API Keys: leads to Keygate's pages, for the organisation of whoever is signed in."""

import json
import os
from urllib.request import Request, urlopen

from django.shortcuts import redirect
from django.urls import reverse
from helpdesk.decorators import helpdesk_staff_member_required


@helpdesk_staff_member_required
def api_keys(request):
    person = request.user
    session = {
        "organization": person.groups.get().name,
        "actor": {"id": str(person.pk), "name": person.get_full_name() or person.get_username()},
        "return_url": request.build_absolute_uri(reverse("helpdesk:user_settings")),
    }
    admin = os.environ.get("KEYGATE_ADMIN", "http://127.0.0.1:9190")
    fields = {
        "Authorization": f"Bearer {os.environ['KEYGATE_ADMIN_TOKEN']}",
        "Content-Type": "application/json",
    }
    call = Request(f"{admin}/v1/portal/sessions", json.dumps(session).encode(), fields)
    with urlopen(call, timeout=10) as answer:
        return redirect(json.load(answer)["url"])
