//! The time of a refusal does not tell how near a wrong key is to a real one. The long form is `cargo bench --bench timing`.

#[path = "../../benches/shared/welch.rs"]
mod welch;
#[path = "../../benches/shared/wrong_keys.rs"]
mod wrong_keys;

use crate::harness::{Gateway, Key, Request, Upstream};
use std::time::Instant;

/// Wide enough for a machine that does other things meanwhile: a difference that somebody could use over a network goes far beyond.
const BOUND: f64 = 8.0;
const PAIRS: usize = 3000;

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
    for (what, near) in wrong_keys::wrong_keys(&real.text) {
        let far = format!("{}{}", &real.text[..8], "x".repeat(near.len() - 8));
        let pairs: Vec<(f64, f64)> = (0..PAIRS)
            .map(|turn| {
                // Neither is always the first.
                if turn % 2 == 0 {
                    let far = time(&far);
                    (far, time(&near))
                } else {
                    let near = time(&near);
                    (time(&far), near)
                }
            })
            .collect();
        let (far, near, t) = welch::compare(&pairs);
        println!("{what}: {:.0} ns against {:.0} ns, t = {t:.2}", near.mean(), far.mean());
        worst = worst.max(t.abs());
    }
    assert!(worst < BOUND, "t = {worst}");
    upstream.assert_untouched();
}
