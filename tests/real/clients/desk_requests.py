"""Python's requests against the help desk: KEY_READ may view, KEY_WRITE may only write, KEY_FULL both."""

import requests
from checks import CA, URL, bearer, check

TICKETS = f"{URL}/api/tickets/"
NEW = {"queue": 1, "title": "Opened by requests", "description": "Please help.", "submitter_email": "r@example.com", "priority": 3}

session = requests.Session()
session.trust_env = False  # or a proxy and a list of authorities in the environment would win
session.verify = CA


def ask(method, url, who, **more):
    return session.request(method, url, headers=bearer(who), timeout=60, **more)


answer = ask("GET", TICKETS, "read")
check("a key that may read lists the tickets", answer.status_code, 200)
check("the list holds the desk's tickets", answer.json()["count"] >= 3)
check("the answer says the limit", answer.headers["X-RateLimit-Limit"], "100")
remaining = int(answer.headers["X-RateLimit-Remaining"])
check("the next answer has one less remaining", int(ask("HEAD", TICKETS, "read").headers["X-RateLimit-Remaining"]), remaining - 1)
page = ask("GET", TICKETS, "read", params={"page_size": 1}).json()
check("links in the answer lead back through the gateway", page["next"].startswith(URL + "/"))

answer = ask("POST", TICKETS, "full", json=NEW)
check("a key with both scopes creates a ticket", answer.status_code, 201)
ticket = f"{TICKETS}{answer.json()['id']}/"
answer = ask("PATCH", ticket, "full", json={"status": 3, "resolution": "Done by requests."})
check("and updates it", answer.status_code, 200)
seen = ask("GET", ticket, "read").json()
check("the desk kept the update", (seen["status"], seen["resolution"]), (3, "Done by requests."))

answer = ask("POST", TICKETS, "read", json=NEW)
check("a key that may only read is refused a new ticket", answer.status_code, 403)
check("the refusal names the missing scope", (answer.json()["code"], answer.json()["required_scope"]), ("insufficient_scope", "tickets:write"))
check("its header does too", 'error="insufficient_scope", scope="tickets:write"' in answer.headers["WWW-Authenticate"])
check("and an update", ask("PATCH", ticket, "read", json={"status": 1}).status_code, 403)
check("write does not imply read", ask("GET", TICKETS, "write").status_code, 403)
answer = ask("DELETE", ticket, "full")
check("what no scope opens is closed", (answer.status_code, answer.json()["code"]), (403, "no_scope_allows"))
check("the ticket is as it was", ask("GET", ticket, "read").json()["status"], 3)

answer = ask("GET", TICKETS, None)
check("without a key: 401 and how to authenticate", (answer.status_code, answer.headers["WWW-Authenticate"].split()[0]), (401, "Bearer"))
answer = ask("GET", TICKETS, "unknown")
check("with a key that nobody made: 401", (answer.status_code, answer.json()["code"]), (401, "unknown_key"))
answer = session.get(TICKETS, auth=("keygate", "guess"), timeout=60)
check("a login of the desk is no key", (answer.status_code, answer.json()["code"]), (401, "missing_key"))
