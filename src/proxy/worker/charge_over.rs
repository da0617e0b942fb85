//! Counts requests on old connections in the process that takes over, so that each limit is counted
//! in one place during a handover.

use crate::handover::{Link, Order};
use crate::policy::{Admission, Now, Permit, Refused, charge_by};

/// Charges a request in the process that takes over, or in this one if that is not possible.
///
/// Blocks the worker for the round trip. This happens only during a handover, and only for requests
/// on connections that were open before it.
///
/// # Errors
/// Returns the refusal if a limit is exhausted.
#[cold]
pub(in crate::proxy) fn charge_over<'s>(
    link: &mut Option<Link>,
    permit: Permit<'s>,
    now: Now,
) -> Result<Admission<'s>, Refused<'s>> {
    charge_by(permit, |charge| {
        if charge.limits.is_empty() {
            return Ok(None);
        }
        Link::count(link, &Order::from(&charge), || Some(charge.count(now))).unwrap_or(Ok(None))
    })
}
