//! Text that others choose and people read: what a name may contain, how it is displayed, and how
//! long it may be in a log.

use std::borrow::Cow;
use std::fmt::Write as _;

/// The character that marks a truncated text.
pub const CUT: char = '\u{2026}';

/// Returns what is wrong with a name or a reason, as words for people, or `None` if it is
/// acceptable.
///
/// Languages need right-to-left letters, marks (U+200E, U+200F), joiners (U+200C, U+200D) and
/// terminated isolates, so these are accepted. Characters that reorder or end a line, or that are
/// invisible, are refused.
#[must_use]
pub fn fault_in_name(text: &str) -> Option<&'static str> {
    if text.chars().any(char::is_control) {
        return Some("holds a control character");
    }
    if text.chars().any(is_unseen) || !isolates_end(text) {
        return Some("holds a character that cannot be seen and can hide or turn around others");
    }
    None
}

/// Returns whether a character is a line separator, an override or embedding (superseded by
/// isolates, Unicode UAX #9), or invisible and needed by no language.
fn is_unseen(character: char) -> bool {
    matches!(
        character,
        '\u{ad}' | '\u{34f}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}' | '\u{180e}'
            | '\u{200b}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{2065}'
            | '\u{206a}'..='\u{206f}' | '\u{2800}' | '\u{3164}' | '\u{feff}' | '\u{ffa0}'
            | '\u{fff0}'..='\u{fffb}' | '\u{1bca0}'..='\u{1bca3}' | '\u{1d173}'..='\u{1d17a}'
            | '\u{e0000}'..='\u{e00ff}' | '\u{e01f0}'..='\u{e0fff}'
    )
}

/// Returns whether every isolate (U+2066 to U+2068) has its terminator (U+2069), and every
/// terminator its isolate.
fn isolates_end(text: &str) -> bool {
    let open = text.chars().try_fold(0_usize, |open, character| match character {
        '\u{2066}'..='\u{2068}' => Some(open + 1),
        '\u{2069}' => open.checked_sub(1),
        _ => Some(open),
    });
    open == Some(0)
}

/// Returns the text for display. Every character that is invisible by itself, or could control a
/// terminal, is escaped as `\u{…}`.
#[must_use]
pub fn shown(text: &str) -> Cow<'_, str> {
    if text.chars().all(is_plain) {
        return Cow::Borrowed(text);
    }
    let mut shown = String::with_capacity(text.len() + 8);
    for character in text.chars() {
        if is_plain(character) {
            shown.push(character);
        } else {
            let _ = write!(shown, "{}", character.escape_unicode());
        }
    }
    Cow::Owned(shown)
}

/// Returns whether a character displays as itself and does nothing else. Combining marks do.
#[must_use]
pub fn is_plain(character: char) -> bool {
    if character.is_ascii() {
        return matches!(character, ' '..='~');
    }
    // `escape_debug` knows which characters are not printable. It escapes a combining mark only at
    // the start of a text, so a letter precedes it here.
    let mut behind_letter = [0; 5];
    behind_letter[0] = b'a';
    let length = 1 + character.encode_utf8(&mut behind_letter[1..]).len();
    let text = std::str::from_utf8(&behind_letter[..length]).unwrap_or_default();
    !is_unseen(character) && text.escape_debug().count() == 2
}

/// Returns the text if it has at most `most` bytes. Otherwise returns as many whole characters as
/// fit into `most` bytes, followed by [`CUT`].
#[must_use]
pub fn clipped(text: &str, most: usize) -> Cow<'_, str> {
    if text.len() <= most {
        return Cow::Borrowed(text);
    }
    let mut cut = String::with_capacity(most + CUT.len_utf8());
    push_clipped(&mut cut, text, most);
    Cow::Owned(cut)
}

/// Appends what [`clipped`] returns.
pub fn push_clipped(all: &mut String, text: &str, most: usize) {
    if text.len() <= most {
        return all.push_str(text);
    }
    all.push_str(&text[..text.floor_char_boundary(most)]);
    all.push(CUT);
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_languages_need_may_stand_in_a_name() {
        for name in [
            "CRM Integration",
            "\u{646}\u{645}\u{6cc}\u{200c}\u{62e}\u{648}\u{627}\u{647}\u{645}",
            "\u{915}\u{94d}\u{200d}\u{937}",
            "\u{5e9}\u{5dc}\u{5d5}\u{5dd} 2\u{200f}",
            "\u{1f469}\u{200d}\u{1f4bb}\u{fe0f}",
            "a \u{2067}b \u{2066}c\u{2069} d\u{2069}",
            "Stra\u{df}e, \u{7968}\u{52d9}, e\u{301}",
        ] {
            assert_eq!(fault_in_name(name), None, "{name:?}");
        }
    }

    #[test]
    fn what_hides_or_turns_around_others_may_not() {
        for bad in ["\n", "\0", "\u{7f}", "\u{85}", "\u{9b}"] {
            let fault = fault_in_name(&format!("a{bad}b"));
            assert_eq!(fault, Some("holds a control character"), "{bad:?}");
        }
        for bad in [
            "\u{202a}",
            "\u{202b}",
            "\u{202c}",
            "\u{202d}",
            "\u{202e}",
            "\u{2028}",
            "\u{2029}",
            "\u{200b}",
            "\u{2060}",
            "\u{feff}",
            "\u{ad}",
            "\u{3164}",
            "\u{e0041}",
            "\u{2066}",
            "\u{2067}",
            "\u{2068}",
            "\u{2069}",
            "\u{2069}\u{2066}",
            "\u{2066}\u{2069}\u{2069}",
        ] {
            let fault = fault_in_name(&format!("a{bad}b"));
            assert!(fault.is_some_and(|fault| fault.contains("cannot be seen")), "{bad:?}");
        }
    }

    #[test]
    fn shown_text_hides_nothing() {
        assert_eq!(shown("a\u{202e}b\u{1b}[2J\u{200d}"), r"a\u{202e}b\u{1b}[2J\u{200d}");
        let plain = "\u{5e9}\u{5dc} \u{915}\u{94d} e\u{301} '\"\\ \u{1f469}";
        assert_eq!(shown(plain), plain);
    }

    proptest! {
        #[test]
        fn nothing_that_is_shown_steers_or_hides(text in any::<String>()) {
            let hides = |character: char| {
                matches!(character, '\u{200c}'..='\u{200f}' | '\u{2066}'..='\u{2069}')
                    || character.is_control()
                    || is_unseen(character)
            };
            prop_assert!(!shown(&text).chars().any(hides));
        }

        #[test]
        fn clipped_text_is_within_its_bound_and_says_so(
            text in any::<String>(),
            most in 0_usize..40,
        ) {
            let cut = clipped(&text, most);
            prop_assert!(cut.len() <= most + CUT.len_utf8());
            if text.len() > most {
                prop_assert!(cut.ends_with(CUT) && text.starts_with(cut.trim_end_matches(CUT)));
            } else {
                prop_assert_eq!(&*cut, &*text);
            }
        }
    }
}
