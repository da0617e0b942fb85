"""Fills an empty help desk: a queue, the staff login that Keygate uses, three tickets, and a member of staff.

Keygate's login is written to $DESK_DATA/desk.env and that of the member of staff to $DESK_DATA/staff.txt, both readable
by their owner only.
"""

import base64
import os
import secrets
from pathlib import Path

import django

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "desk_settings")
django.setup()

from django.contrib.auth import get_user_model  # noqa: E402  (models exist only after setup)
from django.contrib.auth.models import Group  # noqa: E402
from helpdesk.models import Queue, Ticket  # noqa: E402

TICKETS = [
    ("The printer on the second floor is on fire", "It smells of smoke and prints only question marks."),
    ("Cannot log in after the holidays", "My password worked before, I am sure."),
    ("Invoice shows the wrong address", "We moved last month. Please correct invoice and account."),
]

queue, _ = Queue.objects.get_or_create(slug="support", defaults={"title": "Support"})
for title, description in TICKETS:
    Ticket.objects.get_or_create(
        title=title, queue=queue, defaults={"description": description, "submitter_email": "customer@example.com"}
    )

login = Path(os.environ["DESK_DATA"]) / "desk.env"
if not login.exists():
    password = secrets.token_urlsafe(32)
    users = get_user_model().objects
    users.filter(username="keygate").delete()
    users.create_user("keygate", "keygate@example.com", password, is_staff=True)
    basic = base64.b64encode(f"keygate:{password}".encode()).decode()
    login.touch(mode=0o600)
    login.write_text(f"export DESK_AUTH='Basic {basic}'\n")

# Sam is of an organisation, whose keys are shown under Settings → API Keys.
login = Path(os.environ["DESK_DATA"]) / "staff.txt"
if not login.exists():
    password = secrets.token_urlsafe(12)
    users = get_user_model().objects
    users.filter(username="sam").delete()
    sam = users.create_user("sam", "sam@example.com", password, first_name="Sam", last_name="Doe", is_staff=True)
    sam.groups.add(Group.objects.get_or_create(name="org_acme")[0])
    login.touch(mode=0o600)
    login.write_text(f"sam {password}\n")
