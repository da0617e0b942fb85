# What the curl programs share: KEYGATE_URL, KEYGATE_CA, keys in KEY_…, and how a check is told.
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT

# ask HTTP_VERSION KEY_NAME ARGUMENT… : one request. "none" sends no key. Leaves the status in $status, the head in
# $folder/head, the body in $folder/body. The key goes in by a file, since everybody may read command lines.
ask() {
    local version=$1 name=KEY_${2^^}
    : >"$folder/key"
    if [[ $2 != none ]]; then
        printf 'Authorization: Bearer %s\n' "${!name}" >"$folder/key"
    fi
    status=$(curl --silent --show-error --noproxy '*' --max-time 60 --cacert "$KEYGATE_CA" "--http$version" -H "@$folder/key" \
        --dump-header "$folder/head" --output "$folder/body" --write-out '%{http_code}' "${@:3}")
}

# check WHAT SEEN EXPECTED: one line per check. The first that fails ends the program.
check() {
    if [[ $2 != "$3" ]]; then
        printf 'FAILED  %s\n  expected: %s\n  seen:     %s\n' "$1" "$3" "$2" >&2
        cat "$folder/head" "$folder/body" >&2
        exit 1
    fi
    printf 'ok      %s\n' "$1"
}

# field NAME: a header field of the last answer.
field() {
    sed -n "s/\r\$//; s/^$1: //Ip" "$folder/head" | head -n 1
}

# json NAME: a number or plain text in the last answer's body.
json() {
    sed -n "s/.*\"$1\": \{0,1\}\"\{0,1\}\([^,\"}]*\).*/\1/p" "$folder/body" | head -n 1
}
