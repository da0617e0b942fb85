//! Another process takes over: no request is lost, none is judged wrongly, and if the takeover
//! fails, the old process continues.

mod failing;
mod load;

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use self::load::{Load, World};
use crate::harness::{
    Client, Gateway, Key, Message, Request, Upstream, WebSocket, field, hex_digest, wait_for,
};

const TOKEN: &str = "token-of-a-test-of-upgrades";
const REVOKED: &str = "\n[revoked]\nkeys = [\"key_leaked\"]\n";

/// Returns the number in this environment variable, or `default`.
fn rounds(variable: &str, default: usize) -> usize {
    std::env::var(variable).ok().map_or(default, |text| text.parse().expect("a number"))
}

fn token() -> String {
    format!(
        "\n[[admin.token]]\nname = \"ops\"\nrole = \"manage\"\nsha256 = \"{}\"\n",
        hex_digest(TOKEN)
    )
}

/// Calls the admin API.
fn ask(gateway: &Gateway, method: &str, path: &str, body: &Value) -> Message {
    let mut request = Request::new(method, path)
        .host("localhost")
        .header("Authorization", &format!("Bearer {TOKEN}"));
    if !body.is_null() {
        request =
            request.header("Content-Type", "application/json").body(body.to_string().as_bytes());
    }
    Client::plain(gateway.admin_address()).send(&request)
}

/// Creates a key in the store. Returns its id and its text.
#[track_caller]
fn make(gateway: &Gateway) -> (String, String) {
    let answer = ask(gateway, "POST", "/v1/keys", &json!({ "name": "one", "scopes": ["*"] }));
    assert_eq!(answer.status(), 201, "{}", answer.text());
    let member = |name: &str| answer.json()[name].as_str().expect("a text").to_owned();
    (member("id"), member("key"))
}

fn get(key: &str) -> Request {
    Request::get("/x").header("Authorization", &format!("Bearer {key}"))
}

const STORE: &str = "\n[store]\npath = \"keygate.db\"\n";

#[test]
fn limit_is_kept_to_the_request_while_two_processes_serve() {
    let upstream = Upstream::start();
    let limited =
        Key::live("key_limited").scopes(&["*"]).set("rate_limit = [\"30/hour\", \"1000/day\"]");
    let mut gateway = Gateway::in_front_of(&upstream).key(&limited).start();
    let request = get(&limited.text);
    let mut old: Vec<Client> = (0..30).map(|_| gateway.client()).collect();
    // A request on each connection ensures that the old process has accepted it.
    let first: Vec<u16> =
        old.iter_mut().take(5).map(|client| client.send(&request).status()).collect();
    assert_eq!(first, [200; 5]);
    old.iter_mut()
        .skip(5)
        .for_each(|client| assert_eq!(client.send(&Request::get("/x")).status(), 401));
    gateway.upgrade();
    let mut statuses = Vec::new();
    for client in &mut old {
        let answer = client.send(&request);
        assert_eq!(answer.header("connection"), Some("close"), "the client is to go over");
        statuses.push(answer.status());
        statuses.push(gateway.send(&request).status());
    }
    let admitted = statuses.iter().filter(|status| **status == 200).count();
    assert_eq!((admitted, statuses.len()), (25, 60));
    assert!(statuses.iter().skip(25).all(|status| *status == 429), "{statuses:?}");
    assert_eq!(upstream.requests().len(), 30);
    assert_eq!(gateway.first_process_ended().code(), Some(0), "nothing is left for it to serve");
    assert_eq!(gateway.send(&request).status(), 429);
    assert!(gateway.stop().success());
}

#[test]
fn connection_on_which_nothing_has_been_said_is_served_after_another_process_took_over() {
    let upstream = Upstream::start();
    let key = Key::live("key_crm").scopes(&["*"]);
    let gateway = Gateway::in_front_of(&upstream).key(&key).start();
    let mut silent: Vec<Client> = (0..10).map(|_| gateway.client()).collect();
    wait_for("they are accepted", || {
        gateway.admin("/metrics").text().contains("\nkeygate_connections_open 10\n").then_some(())
    });
    gateway.upgrade();
    for client in &mut silent {
        let answer = client.send(&get(&key.text));
        assert_eq!((answer.status(), answer.header("connection")), (200, Some("close")));
    }
}

#[test]
fn counts_pass_through_several_generations_that_serve_at_once() {
    let upstream = Upstream::start();
    let limited = Key::live("key_limited").scopes(&["*"]).set("rate_limit = \"20/hour\"");
    let gateway = Gateway::in_front_of(&upstream).key(&limited).start();
    let request = get(&limited.text);
    let mut clients = Vec::new();
    for _ in 0..3 {
        let mut batch: Vec<Client> = (0..4).map(|_| gateway.client()).collect();
        assert!(batch.iter_mut().all(|client| client.send(&request).status() == 200));
        clients.extend(batch);
        gateway.upgrade();
    }
    clients.extend((0..4).map(|_| gateway.client()));
    // Twelve requests were admitted. Eight are left, whichever of the four processes a connection
    // belongs to.
    let statuses: Vec<u16> =
        clients.iter_mut().map(|client| client.send(&request).status()).collect();
    assert_eq!(statuses.iter().filter(|status| **status == 200).count(), 8, "{statuses:?}");
    assert_eq!(upstream.requests().len(), 20);
}

#[test]
fn process_that_was_relieved_twice_over_goes_on_while_a_later_one_has_nothing_left_to_serve() {
    let world = World::start();
    let (leaked, other) =
        (Key::live("key_leaked").scopes(&["*"]), Key::live("key_other").scopes(&["*"]));
    let gateway = Gateway::in_front_of_url(&world.url())
        .key(&leaked)
        .key(&other)
        .more(&token())
        .more(STORE)
        .start();
    let mut cut = WebSocket::open(gateway.address(), None, &leaked);
    let mut kept = WebSocket::open(gateway.address(), None, &other);
    for _ in 0..3 {
        gateway.upgrade();
    }
    // By now the processes in between would have ended if they did not wait for older processes.
    std::thread::sleep(Duration::from_millis(500));
    assert!(cut.echo(b"one") && kept.echo(b"one"));
    assert_eq!(ask(&gateway, "POST", "/v1/keys/key_leaked/revoke", &json!({})).status(), 200);
    assert_eq!(cut.closed_with(), Some(1008));
    assert!(kept.echo(b"two"));
    kept.close();
    let served = "the process before has served its last connection";
    wait_for("all of them end", || (gateway.events(served).len() == 3).then_some(()));
    assert!(gateway.stop().success());
}

#[test]
fn changed_listener_and_workers_are_in_force_after_an_upgrade_and_the_other_address_stays() {
    let upstream = Upstream::start();
    let key = Key::live("key_crm").scopes(&["*"]);
    let gateway = Gateway::in_front_of(&upstream).key(&key).start();
    gateway.edit(|toml| {
        *toml = toml.replacen("workers = 2", "workers = 1", 1).replacen(
            "listen = \"127.0.0.1:0\"",
            "listen = [\"127.0.0.1:0\", \"[::1]:0\"]",
            1,
        );
    });
    wait_for("the warning", || (!gateway.events("needs a restart").is_empty()).then_some(()));
    gateway.upgrade();
    assert_eq!(gateway.send(&get(&key.text)).status(), 200);
    let ready = gateway.events("ready").pop().unwrap();
    assert_eq!(field(&ready, "workers"), Some(&Value::from(1)));
    let listening = gateway.events("listening");
    let added = listening
        .iter()
        .filter_map(|event| field(event, "address")?.as_str())
        .find(|address| address.starts_with("[::1]"));
    assert_eq!(Client::plain(added.unwrap().parse().unwrap()).send(&get(&key.text)).status(), 200);
}

#[test]
fn upgrade_by_request_tells_the_new_process_and_the_store_goes_with_it() {
    let upstream = Upstream::start();
    let gateway = Gateway::in_front_of(&upstream).more(&token()).more(STORE).start();
    let (id, key) = make(&gateway);
    assert_eq!(gateway.send(&get(&key)).status(), 200);
    let answer = ask(&gateway, "POST", "/v1/upgrade", &Value::Null);
    assert_eq!(answer.status(), 200, "{}", answer.text());
    let process = answer.json()["process"].as_u64();
    wait_for("the new process is heard of", || {
        (process == Some(gateway.process().into())).then_some(())
    });
    assert_eq!(gateway.send(&get(&key)).status(), 200, "it is known to the new process");
    let (_, second) = make(&gateway);
    assert_eq!(gateway.send(&get(&second)).status(), 200);
    wait_for("the use from before is written down", || {
        let day = ask(&gateway, "GET", &format!("/v1/keys/{id}/use"), &Value::Null);
        day.text().contains("\"requests\":").then_some(())
    });
    assert_eq!(gateway.send(&Request::get("/x")).status(), 401);
    assert_eq!(gateway.admin("/readyz").status(), 200);
}

#[test]
fn command_waits_for_the_new_process_and_tells_why_there_is_none() {
    let upstream = Upstream::start();
    let gateway = Gateway::in_front_of(&upstream).more(&token()).start();
    let run = || {
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_keygate"));
        command.args(["upgrade", "--admin", &format!("http://{}", gateway.admin_address())]);
        command.env("KEYGATE_ADMIN_TOKEN", TOKEN).output().expect("it runs")
    };
    let output = run();
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert_eq!(output.status.code(), Some(0));
    wait_for("the new process is named", || {
        (said == format!("process {} has taken over\n", gateway.process())).then_some(())
    });
    gateway.edit(|toml| toml.push_str("\n[lgo]\n"));
    let output = run();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(1));
    assert!(
        said.contains("what ran before goes on") && said.contains("did you mean `log`"),
        "{said}"
    );
}

#[test]
fn revocation_by_file_cuts_a_stream_in_the_old_process_and_is_refused_by_both() {
    revocation_is_in_force_in_both(|gateway| gateway.edit(|toml| toml.push_str(REVOKED)));
}

#[test]
fn revocation_by_request_cuts_a_stream_in_the_old_process_and_is_refused_by_both() {
    revocation_is_in_force_in_both(|gateway| {
        assert_eq!(ask(gateway, "POST", "/v1/keys/key_leaked/revoke", &json!({})).status(), 200);
    });
}

fn revocation_is_in_force_in_both(revoke: impl FnOnce(&Gateway)) {
    let world = World::start();
    let (leaked, other) =
        (Key::live("key_leaked").scopes(&["*"]), Key::live("key_other").scopes(&["*"]));
    let setup =
        Gateway::in_front_of_url(&world.url()).key(&leaked).key(&other).more(&token()).more(STORE);
    let mut gateway = setup.start();
    let mut idle = gateway.client();
    let mut second = gateway.client();
    assert_eq!(
        (idle.send(&get(&leaked.text)).status(), second.send(&get(&other.text)).status()),
        (200, 200)
    );
    let mut cut = WebSocket::open(gateway.address(), None, &leaked);
    let mut kept = WebSocket::open(gateway.address(), None, &other);
    gateway.upgrade();
    assert!(cut.echo(b"before") && kept.echo(b"before"), "WebSockets go on");
    let revoked_at = Instant::now();
    revoke(&gateway);
    assert_eq!(cut.closed_with(), Some(1008));
    assert_eq!(idle.send(&get(&leaked.text)).status(), 401, "on a connection of the old process");
    // Each process reads the file by itself.
    wait_for("on a connection of the new one", || {
        (gateway.send(&get(&leaked.text)).status() == 401).then_some(())
    });
    assert!(revoked_at.elapsed() < Duration::from_secs(1), "{:?}", revoked_at.elapsed());
    assert_eq!(second.send(&get(&other.text)).status(), 200);
    assert!(kept.echo(b"behind"));
    kept.close();
    assert_eq!(gateway.first_process_ended().code(), Some(0));
}

#[test]
fn key_made_while_the_old_process_drains_is_known_to_it_and_its_uses_are_written_down() {
    let upstream = Upstream::start();
    let gateway = Gateway::in_front_of(&upstream).more(&token()).more(STORE).start();
    let mut old = gateway.client();
    assert_eq!(old.send(&Request::get("/x")).status(), 401);
    gateway.upgrade();
    let (id, key) = make(&gateway);
    // The old connection serves only one more request, so there is only one attempt.
    std::thread::sleep(Duration::from_millis(300));
    assert_eq!(old.send(&get(&key)).status(), 200, "the old process knows it");
    wait_for("its use is written down by the new one", || {
        let day = ask(&gateway, "GET", &format!("/v1/keys/{id}/use"), &Value::Null);
        day.text().contains("\"requests\":1").then_some(())
    });
}

#[test]
fn old_process_tells_its_clients_to_leave_when_its_time_is_over() {
    let world = World::start();
    let key = Key::live("key_crm").scopes(&["*"]);
    let mut gateway = Gateway::in_front_of_url(&world.url())
        .server("upgrade_drain_timeout = \"1s\"")
        .key(&key)
        .start();
    let mut socket = WebSocket::open(gateway.address(), None, &key);
    assert!(socket.echo(b"one"));
    gateway.upgrade();
    assert!(socket.echo(b"two"));
    assert_eq!(socket.closed_with(), Some(1001));
    assert_eq!(gateway.first_process_ended().code(), Some(0));
    assert_eq!(gateway.send(&get(&key.text)).status(), 200);
}

#[test]
fn old_process_stops_when_the_new_one_is_gone() {
    let world = World::start();
    let key = Key::live("key_crm").scopes(&["*"]);
    let mut gateway = Gateway::in_front_of_url(&world.url()).key(&key).start();
    let mut socket = WebSocket::open(gateway.address(), None, &key);
    gateway.upgrade();
    assert!(socket.echo(b"one"));
    gateway.signal("KILL");
    assert_eq!(socket.closed_with(), Some(1001));
    assert_eq!(gateway.first_process_ended().code(), Some(0));
}

/// For twenty upgrades: `KEYGATE_UPGRADES=20 cargo test --test it upgrades_under_load --
/// --nocapture`
#[test]
fn upgrades_under_load_lose_and_misjudge_nothing() {
    let load = Load::start();
    let upgrades = rounds("KEYGATE_UPGRADES", 4);
    for round in 0..upgrades {
        load.run_for(Duration::from_millis(700));
        load.gateway.upgrade();
        eprintln!("upgrade {}: {}", round + 1, load.figures());
    }
    load.run_for(Duration::from_secs(1));
    load.finish();
}

/// Each edit, and each certificate, is in force before the next one. Certificates are checked every
/// second, so each takes a second or two. `KEYGATE_RELOADS=1000 KEYGATE_SWAPS=1000 cargo test
/// --test it reloads_and_certificate_swaps -- --nocapture` takes half an hour.
#[test]
fn reloads_and_certificate_swaps_under_load_lose_and_misjudge_nothing() {
    let load = Load::start();
    let (reloads, swaps) = (rounds("KEYGATE_RELOADS", 60), rounds("KEYGATE_SWAPS", 2));
    let (mut reloaded, mut swapped) = (0, 0);
    load.swap_certificate();
    while reloaded < reloads || swapped < swaps {
        if reloaded < reloads {
            load.edit(reloaded);
            reloaded += 1;
            load.wait_for_figure("keygate_reloads_total{result=\"success\"}", reloaded);
        } else {
            load.run_for(Duration::from_millis(200));
        }
        if load.figure("keygate_certificate_reloads_total{result=\"success\"}") > swapped {
            swapped += 1;
            load.swap_certificate();
        }
    }
    assert_eq!(load.figure("keygate_reloads_total{result=\"failure\"}"), 0);
    eprintln!("{reloads} edits and {swapped} certificates: {}", load.figures());
    load.finish();
}
