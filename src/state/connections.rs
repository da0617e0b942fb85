//! The connections that are open, over all workers, and how many of them are from one address. Only
//! accepting and closing touch this.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::config::Server;

/// Connections beyond `max_connections` that are still open long enough to be told so: this part of
/// them, and at least so many.
const SURPLUS: (usize, usize) = (8, 16);

/// The connections that are open.
#[derive(Debug, Default)]
pub struct Connections {
    open: AtomicUsize,
    /// Only addresses with open connections.
    by_address: Mutex<HashMap<IpAddr, usize>>,
}

/// A connection that was counted. It is to be [released](Connections::release).
#[derive(Debug)]
pub struct Admitted {
    /// Whether there are so many that this one is only to be told so.
    pub surplus: bool,
    /// Where it counts, if its address is counted.
    address: Option<IpAddr>,
}

/// Why a connection is not served.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TooMany {
    /// There are too many.
    InAll,
    /// There are too many from its address.
    FromAddress,
}

impl Connections {
    /// How many there are.
    #[must_use]
    pub fn open(&self) -> usize {
        self.open.load(Ordering::Relaxed)
    }

    /// Counts a connection from this address.
    ///
    /// # Errors
    /// There are too many to count another.
    pub fn admit(&self, address: IpAddr, server: &Server) -> Result<Admitted, TooMany> {
        let (part, least) = SURPLUS;
        let most = server.max_connections;
        let before = self.open.fetch_add(1, Ordering::Relaxed);
        let mut admitted = Admitted { surplus: before >= most, address: None };
        if before >= most + (most / part).max(least) {
            self.release(&admitted);
            return Err(TooMany::InAll);
        }
        let most = server.max_connections_per_address;
        if most == 0 || server.trusted_proxies.iter().any(|range| range.contains(address)) {
            return Ok(admitted);
        }
        let place = network(address);
        let mut known = self.by_address();
        let count = known.entry(place).or_default();
        if *count >= most {
            drop(known);
            self.release(&admitted);
            return Err(TooMany::FromAddress);
        }
        *count += 1;
        admitted.address = Some(place);
        Ok(admitted)
    }

    /// The connection is gone.
    pub fn release(&self, admitted: &Admitted) {
        self.open.fetch_sub(1, Ordering::Relaxed);
        if let Some(address) = admitted.address
            && let Entry::Occupied(mut count) = self.by_address().entry(address)
        {
            *count.get_mut() -= 1;
            if *count.get() == 0 {
                count.remove();
            }
        }
    }

    fn by_address(&self) -> MutexGuard<'_, HashMap<IpAddr, usize>> {
        self.by_address.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What counts as one address: whoever has one IPv6 address mostly has the 2⁶⁴ of its network.
fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(v6) => Ipv6Addr::from_bits(v6.to_bits() >> 64 << 64).into(),
        v4 @ IpAddr::V4(_) => v4,
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

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
            || connections.admit(address("192.0.2.1"), &server).map(|admitted| admitted.surplus);
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
        assert!(connections.by_address().is_empty());
        for number in 0..1000_u32 {
            let admitted = connections
                .admit(IpAddr::V4((number << 8).into()), &server)
                .expect("an address of its own");
            connections.release(&admitted);
        }
        assert_eq!((connections.open(), connections.by_address().len()), (10, 0));
    }
}
