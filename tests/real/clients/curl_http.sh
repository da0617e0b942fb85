#!/usr/bin/env bash
# curl over HTTP/1.1 and HTTP/2 against the small HTTP server: Expect, large bodies, trailers, HEAD, early answers.
. "$(dirname "$0")/checks.sh"

head -c 67108864 /dev/zero >"$folder/zeros"
sum=$(sha256sum <"$folder/zeros" | cut -d ' ' -f 1)

for version in 1.1 2; do
    # Over HTTP/1.1 the body waits for the interim answer. Over HTTP/2 none comes, and curl sends on after a second.
    patience=$([[ $version == 1.1 ]] && echo 30 || echo 1)
    ask "$version" full -H 'Expect: 100-continue' --expect100-timeout "$patience" --data-binary "@$folder/zeros" "$KEYGATE_URL/upload"
    check "HTTP/$version: 64 MiB after Expect: 100-continue go up unharmed" "$(json bytes) $(json sha256)" "67108864 $sum"
    if [[ $version == 1.1 ]]; then
        check "HTTP/1.1: the interim answer came" "$(head -n 1 "$folder/head" | tr -d '\r')" "HTTP/1.1 100 Continue"
        ask 1.1 full -H 'Transfer-Encoding: chunked' --data-binary "@$folder/zeros" "$KEYGATE_URL/upload"
        check "HTTP/1.1: a chunked upload stays one" "$(json bytes) $(json chunked)" "67108864 true"
        ask 1.1 none -H 'Expect: 100-continue' --expect100-timeout 30 --data-binary "@$folder/zeros" "$KEYGATE_URL/upload"
        check "HTTP/1.1: a refused upload is not asked for" "$status $(head -n 1 "$folder/head" | cut -c 1-12)" "401 HTTP/1.1 401"
        # Over HTTP/2 curl 7.88 takes the NO_ERROR reset that follows such an answer (RFC 9113 §8.1) for a failure.
        ask 1.1 none --data-binary "@$folder/zeros" "$KEYGATE_URL/upload"
        check "HTTP/1.1: a refusal in the middle of an upload is read by the client" "$status" 401
    fi

    ask "$version" full "$KEYGATE_URL/download/67108864"
    check "HTTP/$version: 64 MiB come down" "$(stat -c %s "$folder/body")" 67108864
    ask "$version" full --head "$KEYGATE_URL/download/12345"
    check "HTTP/$version: HEAD tells the length" "$(field Content-Length) $(stat -c %s "$folder/body")" "12345 $(stat -c %s "$folder/head")"
    ask "$version" full -H 'TE: trailers' "$KEYGATE_URL/trailers"
    check "HTTP/$version: the body before the trailer" "$(cat "$folder/body")" "with a trailer"
    check "HTTP/$version: the trailer" "$(field X-Checksum)" "14 bytes"
done
