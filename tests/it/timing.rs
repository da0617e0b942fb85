//! The time of a refusal does not reveal how similar a wrong key is to a real one. The long version
//! is `cargo bench --bench timing`.

#[path = "../../benches/shared/welch.rs"]
mod welch;
#[path = "../../benches/shared/wrong_keys.rs"]
mod wrong_keys;

use std::time::Instant;

use crate::harness::{Gateway, Key, Request, Upstream};

/// The bound on |t|. It tolerates a busy machine: a difference that is exploitable over a network
/// exceeds it by far.
const BOUND: f64 = 8.0;
/// The number of keys of each kind, and how often each is tried.
const KEYS: usize = 61;
const ROUNDS: usize = 41;

#[test]
fn refusal_takes_as_long_for_a_key_that_is_nearly_right_as_for_any_other() {
    let real = Key::live("key_real").scopes(&["*"]);
    let upstream = Upstream::start();
    let mut setup = Gateway::in_front_of(&upstream).scope("all", &["GET /**"]).key(&real);
    for number in 0..200 {
        setup = setup.key(&Key::live(&format!("key_{number}")));
    }
    let gateway = setup.start();
    let mut client = gateway.client();
    let mut time = |key: &str| {
        let request = Request::get("/").header("Authorization", &format!("Bearer {key}"));
        let begun = Instant::now();
        assert_eq!(client.send(&request).status(), 401);
        begun.elapsed().as_nanos() as f64
    };
    let mut worst = 0.0_f64;
    for (what, near) in wrong_keys::wrong_keys(&real.text, KEYS) {
        let length = near[0].len();
        let padded = format!("{:0<length$}", real.text);
        let far: Vec<String> =
            (0..KEYS).map(|number| wrong_keys::unlike(&padded[..length], number)).collect();
        let mut times = (vec![Vec::new(); KEYS], vec![Vec::new(); KEYS]);
        for turn in 0..KEYS * ROUNDS {
            let key = turn % KEYS;
            // Alternate which of the two is first.
            if turn % 2 == 0 {
                times.0[key].push(time(&far[key]));
                times.1[key].push(time(&near[key]));
            } else {
                times.1[key].push(time(&near[key]));
                times.0[key].push(time(&far[key]));
            }
        }
        let (far, near, t) = welch::compare(times.0, times.1);
        println!("{what}: {:.0} ns against {:.0} ns, t = {t:.2}", near.mean(), far.mean());
        worst = worst.max(t.abs());
    }
    assert!(worst < BOUND, "t = {worst}");
    upstream.assert_untouched();
}
