//! A client that behaves correctly, on connections of its own, while others attack.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::harness::{Gateway, Request};

/// Sends requests until it is stopped, alternately over one HTTP/2 connection and over a new
/// HTTP/1.1 connection each.
pub(super) struct Honest {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<(usize, Duration)>,
}

/// The longest that a pair of requests may take on a busy machine.
const SLOWEST: Duration = Duration::from_secs(10);

impl Honest {
    pub(super) fn start(gateway: &Gateway) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = stop.clone();
        let mut wire = super::wire::Wire::open(gateway);
        let address = gateway.address();
        let thread = std::thread::spawn(move || {
            let (mut served, mut slowest) = (0, Duration::ZERO);
            while !stopped.load(Ordering::Relaxed) {
                let begun = Instant::now();
                let stream = u32::try_from(served).unwrap() + 1;
                wire.send(&super::wire::get(stream, "/honest"));
                assert_eq!(wire.status(stream), 200);
                let mut taken = 0;
                wire.read_until(|frame| {
                    taken += u32::try_from(frame.payload.len()).unwrap();
                    frame.stream == stream && frame.ends_stream()
                });
                wire.send(&super::wire::number(super::wire::WINDOW_UPDATE, 0, taken.max(1)));
                assert_eq!(
                    crate::harness::Client::plain(address).send(&Request::get("/honest")).status(),
                    200
                );
                slowest = slowest.max(begun.elapsed());
                served += 2;
                std::thread::sleep(Duration::from_millis(2));
            }
            (served, slowest)
        });
        Self { stop, thread }
    }

    /// Stops the client. Returns how many requests were answered. Panics if one failed.
    #[track_caller]
    pub(super) fn finish(self) -> usize {
        self.stop.store(true, Ordering::Relaxed);
        let (served, slowest) = self.thread.join().expect("no request fails");
        println!("{served} honest requests; two took {slowest:?} at most");
        assert!(served > 0 && slowest < SLOWEST, "{served}, {slowest:?}");
        served
    }
}
