#!/usr/bin/env bash
# curl against the help desk, over HTTP/1.1 and HTTP/2: KEY_READ may view, KEY_WRITE may only write, KEY_FULL both.
. "$(dirname "$0")/checks.sh"

tickets=$KEYGATE_URL/api/tickets/
new='{"queue": 1, "title": "Opened by curl", "description": "Please help.", "submitter_email": "c@example.com", "priority": 3}'
json_body=(-H 'Content-Type: application/json' -d)

for version in 1.1 2; do
    ask "$version" read "$tickets"
    check "HTTP/$version: a key that may read lists the tickets" "$status" 200
    check "HTTP/$version is what was spoken" "$(cut -d ' ' -f 1 "$folder/head" | head -n 1)" "HTTP/$version"
    check "HTTP/$version: the answer says the limit" "$(field X-RateLimit-Limit)" 100

    ask "$version" full "$tickets" "${json_body[@]}" "$new"
    check "HTTP/$version: a key with both scopes creates a ticket" "$status" 201
    ticket=$tickets$(sed 's/^{"id":\([0-9]*\),.*/\1/' "$folder/body")/
    ask "$version" full -X PATCH "$ticket" "${json_body[@]}" '{"status": 3}'
    check "HTTP/$version: and updates it" "$status" 200
    ask "$version" read "$ticket"
    check "HTTP/$version: the desk kept the update" "$status $(json status)" "200 3"
    ask "$version" read --head "$ticket"
    check "HTTP/$version: HEAD is allowed as GET is" "$status" 200

    ask "$version" read "$tickets" "${json_body[@]}" "$new"
    check "HTTP/$version: a key that may only read is refused a new ticket" "$status $(json code)" "403 insufficient_scope"
    check "HTTP/$version: the refusal names the missing scope" "$(json required_scope)" tickets:write
    ask "$version" write "$tickets"
    check "HTTP/$version: write does not imply read" "$status" 403

    ask "$version" none "$tickets"
    check "HTTP/$version: without a key: 401" "$status $(json code)" "401 missing_key"
    ask "$version" unknown "$tickets"
    check "HTTP/$version: with a key that nobody made: 401" "$status $(json code)" "401 unknown_key"
done
