//! Counts the open connections of all workers, in total and by address. Only accepting and closing
//! a connection touch this.

use std::net::{IpAddr, Ipv6Addr};
use std::sync::atomic::{AtomicUsize, Ordering};

use dashmap::DashMap;

use crate::config::Server;

/// Connections beyond `max_connections` that stay open long enough to receive an error response:
/// this fraction of the limit, and at least this many.
const OVERFLOW: (usize, usize) = (8, 16);

/// The open connections.
#[derive(Debug, Default)]
pub struct Connections {
    open: AtomicUsize,
    /// Only addresses with open connections, so there are never more entries than connections.
    by_address: DashMap<IpAddr, usize>,
}

/// A counted connection. The caller must [release](Connections::release) it.
#[derive(Debug)]
pub struct Admitted {
    /// Whether the connection exceeds `max_connections` and only gets an error response.
    pub overflow: bool,
    /// The address it counts for, or `None` if its address is not limited.
    address: Option<IpAddr>,
}

/// Why a connection is not served.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TooMany {
    /// Too many connections in total.
    InAll,
    /// Too many connections from its address.
    FromAddress,
}

impl Connections {
    /// Returns the number of open connections.
    #[must_use]
    pub fn open(&self) -> usize {
        self.open.load(Ordering::Relaxed)
    }

    /// Counts a connection from this address.
    ///
    /// # Errors
    /// Fails if there are too many, and then leaves the count unchanged.
    pub fn admit(&self, address: IpAddr, server: &Server) -> Result<Admitted, TooMany> {
        let (part, least) = OVERFLOW;
        let most = server.max_connections;
        let before = self.open.fetch_add(1, Ordering::Relaxed);
        let mut admitted = Admitted { overflow: before >= most, address: None };
        if before >= most + (most / part).max(least) {
            self.release(&admitted);
            return Err(TooMany::InAll);
        }
        let most = server.max_connections_per_address;
        if most == 0 || server.trusted_proxies.iter().any(|range| range.contains(address)) {
            return Ok(admitted);
        }
        let place = network(address);
        let mut count = self.by_address.entry(place).or_default();
        if *count < most {
            *count += 1;
            admitted.address = Some(place);
            return Ok(admitted);
        }
        drop(count);
        self.release(&admitted);
        Err(TooMany::FromAddress)
    }

    /// Uncounts a closed connection.
    pub fn release(&self, admitted: &Admitted) {
        self.open.fetch_sub(1, Ordering::Relaxed);
        if let Some(address) = admitted.address {
            self.by_address.remove_if_mut(&address, |_, count| {
                *count -= 1;
                *count == 0
            });
        }
    }
}

/// Returns what counts as one address. A client with one IPv6 address usually has the 2⁶⁴ of its
/// /64.
fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(v6) => Ipv6Addr::from_bits(v6.to_bits() >> 64 << 64).into(),
        v4 @ IpAddr::V4(_) => v4,
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;
    use std::path::Path;

    use proptest::prelude::*;

    use super::*;
    use crate::config::parse;

    fn server(settings: &str) -> Server {
        let text = format!(
            "[server]\nlisten = \"127.0.0.1:0\"\n{settings}\n[[api]]\nname = \"a\"\n\
                upstream = \"http://127.0.0.1:1\"\n"
        );
        parse(&text, Path::new("/nonexistent/gateway.toml")).expect("a sound file").server
    }

    fn address(text: &str) -> IpAddr {
        text.parse().expect("an address")
    }

    #[test]
    fn surplus_is_told_and_what_is_beyond_is_not_even_that() {
        let (connections, server) = (
            Connections::default(),
            server("max_connections = 2\nmax_connections_per_address = 0"),
        );
        let admit =
            || connections.admit(address("192.0.2.1"), &server).map(|admitted| admitted.overflow);
        let outcomes: Vec<_> = (0..20).map(|_| admit()).collect();
        assert!(outcomes[..2].iter().all(|outcome| *outcome == Ok(false)));
        assert!(outcomes[2..18].iter().all(|outcome| *outcome == Ok(true)), "16 at least");
        assert!(outcomes[18..].iter().all(|outcome| *outcome == Err(TooMany::InAll)));
        assert_eq!(connections.open(), 18);
    }

    #[test]
    fn address_has_its_share_and_gets_it_back() {
        let (connections, server) =
            (Connections::default(), server("max_connections_per_address = 2"));
        let admit = |text| connections.admit(address(text), &server);
        let first = admit("2001:db8::1").expect("the first of two");
        let _second = admit("2001:db8::ffff:2").expect("the second, of the same network");
        assert_eq!(admit("2001:db8::3").err(), Some(TooMany::FromAddress));
        assert_eq!(connections.open(), 2, "what is refused does not count");
        for other in ["2001:db8:0:1::1", "192.0.2.1", "::ffff:192.0.2.1"] {
            admit(other).expect("another network");
        }
        assert_eq!(
            admit("192.0.2.1").err(),
            Some(TooMany::FromAddress),
            "mapped addresses are IPv4"
        );
        connections.release(&first);
        admit("2001:db8::3").expect("room again");
    }

    #[test]
    fn trusted_proxies_have_no_share_and_nothing_is_kept_of_those_who_left() {
        let (connections, server) = (
            Connections::default(),
            server("max_connections_per_address = 1\ntrusted_proxies = [\"10.0.0.0/8\"]"),
        );
        for _ in 0..10 {
            connections.admit(address("10.1.2.3"), &server).expect("a proxy's");
        }
        assert!(connections.by_address.is_empty());
        for number in 0..1000_u32 {
            let admitted = connections
                .admit(IpAddr::V4((number << 8).into()), &server)
                .expect("an address of its own");
            connections.release(&admitted);
        }
        assert_eq!((connections.open(), connections.by_address.len()), (10, 0));
    }

    /// A connection from one of six networks opens, or one of the open ones closes.
    #[derive(Debug, Clone)]
    enum Step {
        Comes(u8),
        Goes(prop::sample::Index),
    }

    fn steps() -> impl Strategy<Value = Vec<Step>> {
        let step = prop_oneof![
            3 => (0..6_u8).prop_map(Step::Comes),
            2 => any::<prop::sample::Index>().prop_map(Step::Goes),
        ];
        prop::collection::vec(step, 0..200)
    }

    proptest! {
        #[test]
        fn share_of_an_address_is_never_exceeded_and_exactly_those_open_are_remembered(
            steps in steps(),
            most in 1..5_usize,
            in_all in 1..20_usize,
        ) {
            let settings =
                format!("max_connections = {in_all}\nmax_connections_per_address = {most}");
            let (connections, server) = (Connections::default(), server(&settings));
            let mut open = Vec::new();
            for step in steps {
                match step {
                    Step::Comes(network) => {
                        let address = IpAddr::from([192, 0, 2, network]);
                        if let Ok(admitted) = connections.admit(address, &server) {
                            open.push((address, admitted));
                        }
                    }
                    Step::Goes(index) if !open.is_empty() => {
                        connections.release(&open.swap_remove(index.index(open.len())).1);
                    }
                    Step::Goes(_) => {}
                }
                let mut expected = HashMap::new();
                open.iter().for_each(|(address, _)| *expected.entry(*address).or_default() += 1);
                let entries = connections.by_address.iter();
                let known = entries.map(|entry| (*entry.key(), *entry.value()));
                prop_assert_eq!(known.collect::<HashMap<IpAddr, usize>>(), expected);
                prop_assert_eq!(connections.open(), open.len());
                prop_assert!(connections.by_address.iter().all(|entry| *entry.value() <= most));
                prop_assert!(open.len() <= in_all + 16);
            }
        }
    }

    #[test]
    fn nothing_is_remembered_once_threads_that_share_an_address_have_left() {
        let (connections, server) =
            (Connections::default(), server("max_connections_per_address = 3"));
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for _ in 0..10_000 {
                        if let Ok(admitted) = connections.admit(address("192.0.2.1"), &server) {
                            assert!(connections.by_address.iter().all(|entry| *entry.value() <= 3));
                            connections.release(&admitted);
                        }
                    }
                });
            }
        });
        assert_eq!((connections.open(), connections.by_address.len()), (0, 0));
    }
}
