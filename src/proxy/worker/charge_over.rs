//! A request of an old connection is counted where all are while one process takes over from
//! another.

use crate::handover::{Link, Order};
use crate::policy::{Admission, Now, Permit, Refused, charge_by};

/// Has a request counted by the process that takes over. It blocks the worker for as long as that
/// takes: only while one process takes over from the other, and only for requests on connections
/// that were open before.
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
