//! The format of changes.

use std::fmt::Display;

/// The most lines about keys. Further lines are only counted.
const KEY_LINES: usize = 50;

/// Appends a line if the value of a setting differs.
pub(super) fn setting<T: PartialEq>(
    lines: &mut Vec<String>,
    name: &str,
    old: &T,
    new: &T,
    show: impl Fn(&T) -> String,
) {
    if old != new {
        lines.push(format!("{name} {} → {}", show(old), show(new)));
    }
}

pub(super) fn list<T>(items: &[T], show: impl Fn(&T) -> String) -> String {
    if items.is_empty() {
        "none".to_owned()
    } else {
        items.iter().map(show).collect::<Vec<_>>().join(", ")
    }
}

pub(super) fn displayed<T: Display>(items: &[T]) -> String {
    list(items, T::to_string)
}

/// Lines about keys: the first ones in full, and the number of the others by kind.
#[derive(Default)]
pub(super) struct Lines {
    shown: Vec<String>,
    rest: Vec<(&'static str, usize)>,
}

impl Lines {
    pub(super) fn push(&mut self, kind: &'static str, line: impl FnOnce() -> String) {
        if self.shown.len() < KEY_LINES {
            self.shown.push(line());
        } else if let Some((_, count)) = self.rest.iter_mut().find(|(known, _)| *known == kind) {
            *count += 1;
        } else {
            self.rest.push((kind, 1));
        }
    }

    pub(super) fn finish(mut self) -> Vec<String> {
        if !self.rest.is_empty() {
            let counts: Vec<String> =
                self.rest.iter().map(|(kind, count)| format!("{count} {kind}")).collect();
            self.shown.push(format!("and more keys: {}", counts.join(", ")));
        }
        self.shown
    }
}
