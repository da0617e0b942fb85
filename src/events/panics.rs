//! Logs panics, which are defects of ours, with their location. A message may quote the input, such
//! as a request with its key. It is therefore shown only if it is a fixed text.

use std::any::Any;
use std::panic::{self, PanicHookInfo};

pub(super) fn install() {
    panic::set_hook(Box::new(log_panic));
}

fn log_panic(info: &PanicHookInfo<'_>) {
    let place = info.location().map(ToString::to_string);
    let thread = std::thread::current();
    tracing::error!(
        place,
        thread = thread.name(),
        why = fixed_text(info.payload()),
        "a task panicked"
    );
}

fn fixed_text(payload: &dyn Any) -> &'static str {
    payload.downcast_ref::<&'static str>().copied().unwrap_or("not shown, as it may quote a secret")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_that_was_put_together_is_not_shown() {
        let why = |panicking: fn()| {
            let payload = panic::catch_unwind(panicking).expect_err("a panic");
            fixed_text(&*payload)
        };
        assert_eq!(why(|| panic!("a fixed text")), "a fixed text");
        let quoting = why(|| {
            // The message of the standard library quotes the text.
            let text = std::hint::black_box("Bearer hünter2");
            assert!(!text[..9].is_empty());
        });
        assert_eq!(quoting, "not shown, as it may quote a secret");
    }
}
