use super::{API, SERVER, accepted, refused, rejected, warned, with_api};
use crate::config::{Place, Protocol};

fn apis(blocks: &[&str]) -> String {
    blocks.iter().fold(SERVER.to_owned(), |text, block| {
        text + "[[api]]\nupstream = \"http://127.0.0.1:3000\"\n" + block + "\n"
    })
}

#[test]
fn api_needs_a_plain_name_and_an_upstream() {
    refused(&format!("{SERVER}⟦[[api]]\nupstream = \"unix:/s\"\n"), &["[[api]] has no `name`"]);
    refused(&format!("{SERVER}⟦[[api]]\nname = \"a\"\n"), &["[[api]] has no `upstream`"]);
    refused(
        &format!("{SERVER}[[api]]\nname = ⟦\"a b\"\nupstream = \"unix:/s\"\n"),
        &["letters, digits"],
    );
    refused(
        &format!("{SERVER}[[api]]\nname = ⟦\"{}\"\nupstream = \"unix:/s\"\n", "a".repeat(65)),
        &["1 to 64"],
    );
}

/// Marks the second `[[api]]`.
fn mark_second(text: String) -> String {
    let (first, second) = text.rsplit_once("[[api]]").unwrap_or_default();
    format!("{first}⟦[[api]]{second}")
}

#[test]
fn two_apis_cannot_have_one_name() {
    refused(
        &mark_second(apis(&["name = \"a\"", "name = \"a\"\nbase_path = \"/b\""])),
        &["two APIs are named `a`; the first is on line 3"],
    );
}

#[test]
fn two_apis_cannot_have_the_same_host_and_base_path() {
    let refused = |blocks: &[&str], reason| refused(&mark_second(apis(blocks)), &[reason]);
    refused(
        &["name = \"a\"\nhosts = [\"x\", \"y\"]", "name = \"b\"\nhosts = [\"Y\"]"],
        "`b` and `a` on line 3 both claim `y`",
    );
    refused(&["name = \"a\"", "name = \"b\""], "both claim any host with `base_path` `/`");
    let cased = [
        "name = \"a\"\nbase_path = \"/V\"",
        "name = \"b\"\nbase_path = \"/v\"\ncase_insensitive_paths = true",
    ];
    refused(&cased, "both claim any host");
    accepted(&apis(&[
        "name = \"a\"\nbase_path = \"/V\"",
        "name = \"b\"\nbase_path = \"/v\"",
        "name = \"c\"\nhosts = [\"x\"]",
    ]));
}

#[test]
fn host_is_a_plain_name_in_any_case() {
    let hosts = &accepted(&with_api("hosts = [\"API.Example.com\", \"[::1]\", \"10.0.0.1\"]")).apis
        [0]
    .definition
    .hosts;
    assert_eq!(
        hosts.iter().map(|host| &**host).collect::<Vec<_>>(),
        ["api.example.com", "[::1]", "10.0.0.1"]
    );
    let faults = [
        ("api.example.com:8443", "write `api.example.com`"),
        ("https://api.example.com/x", "write `api.example.com`"),
        ("api.example.com.", "without the final dot"),
        ("*.example.com", "cannot have wildcards"),
        ("bücher.example", "`xn--` form"),
        ("::1", "write `[::1]`"),
        ("[0:0::1]", "write `[::1]`"),
        ("[x]", "must be an IPv6 address"),
        ("a b", "this is no host name"),
        ("", "this is no host name"),
        ("a..b", "this is no host name"),
    ];
    for (host, reason) in faults {
        refused(&with_api(&format!("hosts = [⟦\"{host}\"]")), &[reason]);
    }
    refused(&with_api("hosts = [\"a\", ⟦\"A\"]"), &["stands twice in `hosts`"]);
    refused(&with_api("hosts = ⟦[]"), &["answers for any host"]);
}

#[test]
fn base_path_is_plain_and_without_a_final_slash() {
    for (path, reason) in [
        ("v1", "it starts with `/`"),
        ("/v1/", "`/v1`"),
        ("/a//b", "letters, digits"),
        ("/a/..", "letters"),
        ("/%61", "letters"),
        ("", "starts"),
    ] {
        refused(&with_api(&format!("base_path = ⟦\"{path}\"")), &[reason]);
    }
    accepted(&with_api("base_path = \"/api/v1.0_x-y\""));
}

#[test]
fn upstream_is_a_url_without_path_or_user() {
    let faults = [
        ("127.0.0.1:3000", "no scheme"),
        ("ftp://x", "not known"),
        ("http://x/api", "no path or query"),
        ("http://x/", "no path or query"),
        ("http://x?y", "no path or query"),
        ("http://user:hunter2@x", "no user name or password"),
        ("http://", "no name or address"),
        ("http://a b", "no name or address"),
        ("http://x:0", "port is not from 1"),
        ("http://x:70000", "port is not from 1"),
        ("http://[::1", "no IPv6 address"),
        ("http://[x]:1", "no IPv6 address"),
        ("unix:", "no usable path"),
    ];
    for (url, reason) in faults {
        let text = format!("{SERVER}[[api]]\nname = \"a\"\nupstream = ⟦\"{url}\"\n");
        refused(&text, &[reason]);
        assert!(!rejected(&text.replace('⟦', "")).to_string().contains("hunter2"));
    }
}

#[test]
fn upstream_says_protocol_and_place() {
    let upstream = |url: &str| {
        accepted(&format!("{SERVER}[[api]]\nname = \"a\"\nupstream = \"{url}\"\n")).apis[0]
            .upstreams[0]
            .clone()
    };
    let tcp = |host: &str, port| Place::Tcp(host.into(), port);
    let cases = [
        ("http://x", Protocol::Http1, tcp("x", 80), "x"),
        ("https://x", Protocol::Http1Tls, tcp("x", 443), "x"),
        ("h2c://x:50051", Protocol::Http2, tcp("x", 50051), "x:50051"),
        ("h2://[::1]:8443", Protocol::Http2Tls, tcp("::1", 8443), "[::1]:8443"),
        ("unix:/run/desk.sock", Protocol::Http1, Place::Unix("/run/desk.sock".into()), "localhost"),
        ("unix:desk.sock", Protocol::Http1, Place::Unix("desk.sock".into()), "localhost"),
    ];
    for (url, protocol, place, authority) in cases {
        let upstream = upstream(url);
        assert_eq!(
            (upstream.protocol, upstream.place, &*upstream.authority),
            (protocol, place, authority),
            "{url}"
        );
    }
}

#[test]
fn upstream_table_has_exactly_the_environments() {
    let text = |table: &str| {
        format!(
            "{SERVER}[[api]]\nname = \"a\"\nenvironments = {{ live = \"l_\", test = \"t_\" }}\n\
                upstream = {table}\n"
        )
    };
    let api = accepted(&text("{ test = \"http://t\", live = \"http://l\" }")).apis[0].clone();
    assert_eq!(
        (&*api.upstreams[0].authority, api.upstream_by_environment.as_slice()),
        ("l", &[0, 1][..])
    );
    refused(
        &text("{ ⟦tst = \"http://t\", live = \"http://l\" }")
            .replace("upstream = {", "upstream = ⟦{"),
        &["no entry for the environment `test`", "did you mean `test`?"],
    );
    refused(&text("⟦{ test = \"http://t\" }"), &["`upstream` has no entry `live`"]);
    refused(&text("{ test = ⟦1, live = ⟦\"x\" }"), &["must be a text", "no scheme"]);
}

#[test]
fn environments_have_prefixes_of_their_own() {
    refused(&with_api("environments = { live = ⟦\"\" }"), &["prefix of `live` is empty"]);
    refused(
        &with_api("environments = { live = \"k_\", test = ⟦\"k_\" }"),
        &["`live` and `test` have the same prefix"],
    );
    refused(&with_api("environments = { live = ⟦\"k \" }"), &["a prefix has"]);
    refused(&with_api("environments = { ⟦\"l v\" = \"k_\" }"), &["an environment's name"]);
}

#[test]
fn credentials_stand_in_headers_without_another_meaning() {
    let reserved = [
        "Host",
        "Content-Length",
        "Connection",
        "X-Keygate-Key-Id",
        "X_Keygate_Auth",
        "Transfer-Encoding",
        "Upgrade",
        "X-Forwarded-For",
        "TE",
    ];
    for name in reserved {
        refused(
            &with_api(&format!("credentials = [⟦\"header:{name}\"]")),
            &["cannot carry a credential"],
        );
    }
    refused(&with_api("credentials = [⟦\"header:Cookie\"]"), &["Cookie header holds many things"]);
    refused(&with_api("credentials = [⟦\"header:a b\"]"), &["no header name"]);
    refused(&with_api("credentials = [⟦\"basic\"]"), &["`basic` is no place for a key"]);
    refused(&with_api("credentials = ⟦[]"), &["names no place"]);
    refused(
        &with_api("credentials = [\"header:X-API-Key\", ⟦\"header:x_api_key\"]"),
        &["the same header"],
    );
    refused(
        &with_api("credentials = [\"bearer\", ⟦\"header:Authorization\"]"),
        &["the same header"],
    );
}

#[test]
fn pass_through_and_its_endpoints_belong_together() {
    refused(
        &with_api("pass_through = ⟦[\"cookie:s\"]"),
        &["`pass_through` needs `pass_through_allows`"],
    );
    refused(
        &with_api("pass_through_allows = ⟦[\"GET /\"]"),
        &["`pass_through_allows` needs `pass_through`"],
    );
    let allows = "pass_through_allows = [\"GET /x\"]";
    refused(
        &with_api(&format!("pass_through = [⟦\"session\", ⟦\"cookie:a b\"]\n{allows}")),
        &["write `\"header:NAME\"`", "write `\"header:NAME\"`"],
    );
    accepted(&with_api(&format!("pass_through = [\"header:DeskToken\", \"cookie:s\"]\n{allows}")));
}

#[test]
fn place_for_keys_cannot_pass_through() {
    let text = "credentials = [\"header:X-API-Key\"]\npass_through = [⟦\"header:x-api-key\"]\n\
        pass_through_allows = [\"GET /x\"]";
    refused(&with_api(text), &["a place for keys already"]);
    let text = "pass_through = [⟦\"header:authorization\"]\npass_through_allows = [\"GET /x\"]";
    refused(&with_api(text), &["a place for keys already"]);
}

#[test]
fn malformed_pattern_is_refused() {
    let allows = "[⟦\"/x\", ⟦\"get /x\", ⟦\"GET /x/**/y\", ⟦\"GET /x?y\", ⟦\"GET /a/../b\"]";
    let reasons = [
        "`METHOD /path`",
        "in capitals",
        "only at the end",
        "leave out `?`",
        "'.' or '..' segment",
    ];
    refused(&with_api(&format!("public = {allows}")), &reasons);
    refused(&with_api(&format!("[api.scopes.x]\nallows = {allows}")), &reasons);
}

#[test]
fn pattern_outside_of_the_base_path_is_refused() {
    let text = "base_path = \"/v1/desk\"\n\
        public = [\"GET /v1/desk\", \"GET /v1/**\", \"GET /*/desk/x\", ⟦\"GET /v1\", ⟦\"GET /*\", \
        ⟦\"GET /V1/desk\", ⟦\"GET /v1/desks\", ⟦\"GET /v2/**\"]";
    refused(&with_api(text), &["outside of the `base_path`"; 5]);
    accepted(&with_api(
        "base_path = \"/Approvals\"\ncase_insensitive_paths = true\n\
            public = [\"GET /approvals/x\"]",
    ));
}

#[test]
fn pattern_whose_paths_belong_to_another_api_is_refused() {
    let other = "name = \"b\"\nbase_path = \"/v1\"\nhosts = [\"x\", \"y\"]";
    let first = |hosts: &str, endpoint: &str| {
        apis(&[&format!("name = \"a\"\n{hosts}\npublic = [{endpoint}]"), other])
    };
    refused(
        &first("hosts = [\"x\"]", "⟦\"GET /v1/t\""),
        &["belongs to `b`, whose `base_path` `/v1` is longer"],
    );
    refused(&first("hosts = [\"x\", \"y\"]", "⟦\"GET /v1/**\""), &["belongs to `b`"]);
    accepted(&first("hosts = [\"x\", \"z\"]", "\"GET /v1/t\""));
    accepted(&first("", "\"GET /v1/t\""));
    accepted(&first("hosts = [\"x\"]", "\"GET /*/t\", \"GET /v2/t\", \"GET /**\""));
    // The other API owns /v1 in lower case only.
    accepted(&first("hosts = [\"x\"]\ncase_insensitive_paths = true", "\"GET /v1/t\""));
}

#[test]
fn public_endpoint_that_is_also_in_a_scope_is_a_warning() {
    let scope =
        "\n[api.scopes.read]\nallows = [⟦\"GET /x/*\", ⟦\"HEAD /x/y\", \"POST /x/y\", \"GET /x\"]";
    let reason = "is public, so nobody needs the scope";
    warned(&with_api(&format!("public = [\"GET /x/**\"]{scope}")), &[reason, reason]);
}

#[test]
fn scope_has_a_token_for_a_name_and_endpoints() {
    refused(
        &with_api("[api.scopes.⟦\"*\"]\nallows = [\"GET /\"]"),
        &["`*` is the name of full access"],
    );
    refused(&with_api("[api.scopes.⟦\"a b\"]\nallows = [\"GET /\"]"), &["RFC 6749"]);
    refused(&with_api("[api.scopes.⟦x]\ndescription = \"d\""), &["[api.scopes] has no `allows`"]);
    refused(&with_api("[api.scopes]\nx = ⟦\"GET /\""), &["a scope must be a table"]);
    refused(
        &with_api("[api.scopes.x]\ndescription = ⟦\"a\\u0007b\"\nallows = [\"GET /\"]"),
        &["a control character"],
    );
}

#[test]
fn scopes_keep_their_order_in_the_file() {
    let config = accepted(&with_api(
        "[api.scopes.b]\nallows = [\"GET /\"]\n[api.scopes.a]\nallows = [\"GET /\"]",
    ));
    assert_eq!(
        config.apis[0].definition.scopes.iter().map(|scope| &*scope.name).collect::<Vec<_>>(),
        ["b", "a"]
    );
}

#[test]
fn more_than_128_scopes_are_refused() {
    let scope = |index: usize| {
        format!(
            "[api.scopes.{}s{index}]\nallows = [\"GET /\"]\n",
            if index == 128 { "⟦" } else { "" }
        )
    };
    refused(&with_api(&(0..=128).map(scope).collect::<String>()), &["at most 128 scopes"]);
    accepted(&with_api(&(0..128).map(scope).collect::<String>()));
}

#[test]
fn rate_limits_have_windows_of_their_own() {
    assert_eq!(
        accepted(&with_api("rate_limit = [\"10/s\", \"100/min\"]")).apis[0]
            .definition
            .rate_limit
            .len(),
        2
    );
    refused(&with_api("rate_limit = ⟦\"100\""), &["write `N/s`"]);
    refused(&with_api("rate_limit = ⟦\"0/s\""), &["from 1 to 1000000"]);
    refused(&with_api("rate_limit = [\"1/min\", ⟦\"2/60s\"]"), &["the same window"]);
    refused(
        &with_api("rate_limit = ⟦[\"1/s\", \"2/min\", \"3/hour\", \"4/day\", \"5/2day\"]"),
        &["at most 4"],
    );
    refused(&with_api("rate_limit = ⟦\"none\""), &["only in a `[[key]]`"]);
    refused(&with_api("rate_limit = ⟦[]"), &["an empty list"]);
    refused(&with_api("rate_limit = ⟦100"), &["must be a list of texts"]);
}

#[test]
fn words_of_a_choice_are_checked() {
    let text = "errors = ⟦\"problems\"\nempty_scopes = ⟦\"everything\"\n\
        rate_limit_reset = ⟦\"unix\"\nhost_header = ⟦\"upstreem\"";
    refused(
        &with_api(text),
        &[
            "did you mean `problem`?",
            "`\"none\"` or `\"all\"`",
            "`\"seconds\"` or `\"epoch\"`",
            "did you mean `upstream`?",
        ],
    );
}

#[test]
fn unneeded_upstream_authorities_are_refused() {
    let text = format!("{SERVER}{API}upstream_ca = ⟦⟦\"none.pem\"\n");
    let problems = rejected(&text.replace('⟦', "")).0;
    assert!(
        problems[0].message.contains("has no use") && problems[1].message.contains("none.pem"),
        "{problems:?}"
    );
}
