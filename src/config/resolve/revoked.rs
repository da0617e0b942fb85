//! Reads `[revoked]`, from a valid file or from one with errors elsewhere.

use std::fmt;
use std::ops::Range;
use std::path::Path;

use crate::config::document::{Section, parse};
use crate::config::kinds::REVOKED;
use crate::config::report::Report;
use crate::config::revoked::{Hold, Mark, Revoked};

/// Returns the contents of the table.
pub(super) fn revoked(root: Section<'_>) -> Revoked {
    root.section("revoked", &REVOKED).map_or_else(Revoked::default, |section| read(section, 0))
}

/// Reads the table. `lines_before`: the number of lines of the file before the text.
fn read(section: Section<'_>, lines_before: usize) -> Revoked {
    let report = section.report;
    let mark = |at| {
        let (line, column) = report.place_of(at);
        Mark { line: line + lines_before, column, hold: Hold::Lasting }
    };
    let mut revoked = Revoked::default();
    for text in section.texts("keys") {
        revoked.add_key(text.value, mark(text.at));
    }
    for text in section.texts("organizations") {
        if text.value.is_empty() {
            report.error(text.at, "an organization's name is empty");
        }
        // Rules for new names are stricter. Names that were accepted before must remain revocable.
        if text.value.chars().any(char::is_control) {
            report.error(text.at, "`organizations` holds a control character");
        }
        revoked.add_organization(text.value, mark(text.at));
    }
    revoked
}

/// The reason why the `[revoked]` table of a file with errors cannot be read by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NotAlone {
    /// The file cannot be read at all.
    Unreadable,
    /// The file may not be completely written.
    HalfWritten,
    /// The file does not mention the table.
    Missing,
    /// The file has no line `[revoked]`, but perhaps the table in another form, such as
    /// `[ revoked ]` or `revoked.keys`.
    OtherForm,
    /// The file has more than one line `[revoked]`.
    Repeated,
    /// The lines after `[revoked]` have an error, or the line is inside a string.
    Broken,
}

impl fmt::Display for NotAlone {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(match self {
            Self::Unreadable => "the file cannot be read",
            Self::HalfWritten => "the file is being written to, and is read when that is done",
            Self::Missing => "the file has no line `[revoked]`",
            Self::OtherForm => {
                "the file has no line `[revoked]`, which it needs while there are mistakes"
            }
            Self::Repeated => "the line `[revoked]` stands there more than once",
            Self::Broken => "the lines below `[revoked]` cannot be understood by themselves",
        })
    }
}

/// Reads the `[revoked]` table of a file that has errors elsewhere. This requires that exactly one
/// line is `[revoked]`, and that the text up to the next line that begins with `[` is valid TOML
/// with no settings except `keys` and `organizations`.
///
/// # Errors
/// Returns the reason why the table cannot be read by itself.
pub fn revoked_alone(content: &[u8]) -> Result<Revoked, NotAlone> {
    let mut header: Option<Range<usize>> = None;
    for line in lines(content).filter(|line| is_header(&content[line.clone()])) {
        if header.replace(line).is_some() {
            return Err(NotAlone::Repeated);
        }
    }
    let Some(header) = header else {
        let named = lines(content).any(|line| is_other_form(&content[line]));
        return Err(if named { NotAlone::OtherForm } else { NotAlone::Missing });
    };
    if [&b"\"\"\""[..], b"'''"].iter().any(|quotes| is_within(content, &header, quotes)) {
        return Err(NotAlone::Broken);
    }
    let rest = &content[header.end..];
    let is_next = |line: &Range<usize>| rest[line.clone()].trim_ascii_start().starts_with(b"[");
    let end = lines(rest).find(is_next).map_or(rest.len(), |line| line.start);
    let section = std::str::from_utf8(&rest[..end]).map_err(|_| NotAlone::Broken)?;
    let report = Report::new(section, Path::new(""));
    let lines_before = memchr::memchr_iter(b'\n', &content[..header.end]).count();
    let tree = parse(section, &report);
    let revoked = tree
        .as_ref()
        .map(|tree| read(Section::open(&report, &REVOKED, tree.get_ref(), 0), lines_before));
    drop(tree);
    let (_, failed) = report.finish();
    revoked.filter(|_| !failed).ok_or(NotAlone::Broken)
}

/// Returns the range of each line, including its line ending.
fn lines(content: &[u8]) -> impl Iterator<Item = Range<usize>> {
    let mut start = 0;
    std::iter::from_fn(move || {
        let rest = content.get(start..).filter(|rest| !rest.is_empty())?;
        let end = memchr::memchr(b'\n', rest).map_or(content.len(), |at| start + at + 1);
        Some(std::mem::replace(&mut start, end)..end)
    })
}

/// Returns whether the line is `[revoked]`, optionally with a comment.
fn is_header(line: &[u8]) -> bool {
    let line = line.trim_ascii();
    line.strip_prefix(b"[revoked]").is_some_and(|rest| {
        let rest = rest.trim_ascii_start();
        rest.is_empty() || rest.starts_with(b"#")
    })
}

/// Returns whether the line probably begins the table in another form than [`is_header`].
fn is_other_form(line: &[u8]) -> bool {
    let bare = line.iter().position(|byte| !b" \t[\"'".contains(byte)).unwrap_or(line.len());
    line[bare..].split_at_checked(7).is_some_and(|(name, rest)| {
        let in_name = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-');
        name.eq_ignore_ascii_case(b"revoked") && !rest.first().is_some_and(in_name)
    })
}

/// Returns whether a line is probably inside a multi-line string: one that is open before the line
/// and closed after it.
fn is_within(content: &[u8], line: &Range<usize>, quotes: &[u8]) -> bool {
    let count = |part: &[u8]| memchr::memmem::find_iter(part, quotes).count();
    count(&content[..line.start]) % 2 == 1 && count(&content[line.end..]) > 0
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;
    use proptest::sample::Index;

    use super::*;

    fn names(revoked: &Revoked) -> (Vec<String>, Vec<String>) {
        (
            revoked.keys().filter_map(|key| key.id().map(str::to_owned)).collect(),
            revoked.organizations().map(|(name, _)| name.to_owned()).collect(),
        )
    }

    fn alone(text: &str) -> Result<(Vec<String>, Vec<String>), NotAlone> {
        revoked_alone(text.as_bytes()).map(|revoked| names(&revoked))
    }

    #[test]
    fn section_is_read_between_mistakes() {
        let text = "[lgo]\nx = \"\n  [revoked] # it leaked\r\nkeys = [\n  \"key_a\", # ours\n  \
            \"key_b\"]\norganizations = ['org_a']\n\n\t[[key]]\nid = 5\n";
        let revoked = revoked_alone(text.as_bytes()).expect("it can be read");
        assert_eq!(names(&revoked), (vec!["key_a".into(), "key_b".into()], vec!["org_a".into()]));
        let mark = revoked.id("key_b").expect("named");
        assert_eq!((mark.line, mark.column), (6, 3));
        assert!(revoked_alone(b"\xff\n[revoked]\nkeys = [\"key_a\"]").is_ok());
    }

    #[test]
    fn section_that_is_not_whole_or_not_alone_is_not_read() {
        for (text, why) in [
            ("", NotAlone::Missing),
            ("[store]\nrevoked_retention = \"1d\"\n# [ revoked ]\n", NotAlone::Missing),
            ("[[revoked]]\nkeys = [\"a\"]\n", NotAlone::OtherForm),
            ("revoked.keys = [\"a\"]\n", NotAlone::OtherForm),
            ("revoked = { keys = [\"a\"] }\n", NotAlone::OtherForm),
            (" [ revoked ]\nkeys = [\"a\"]\n", NotAlone::OtherForm),
            ("[\"revoked\"]\nkeys = [\"a\"]\n", NotAlone::OtherForm),
            ("[Revoked]\nkeys = [\"a\"]\n", NotAlone::OtherForm),
            ("[revoked]\nkeys = [\"a\"]\n[revoked]\n", NotAlone::Repeated),
            ("[revoked]\nkeys = [\"a\"", NotAlone::Broken),
            ("[revoked]\nkeys = [\"a\", 5]", NotAlone::Broken),
            ("[revoked]\nkeys = \"a\"", NotAlone::Broken),
            ("[revoked]\nkeys = [\n\"a\",\n[\"b\"]]", NotAlone::Broken),
            ("[revoked]\nkeys = [\"a\"]\nworkers = 1\n", NotAlone::Broken),
            ("x = \"\"\"\n[revoked]\nkeys = [\"a\"]\n\"\"\"\n", NotAlone::Broken),
            ("x = \"\"\"\n[revoked]\nkeys = [\"a\"]\n[x]\"\"\"\n", NotAlone::Broken),
            ("x = '''\n[revoked]\nkeys = [\"a\"]\n[x]'''\n", NotAlone::Broken),
        ] {
            assert_eq!(alone(text), Err(why), "{text}");
        }
    }

    /// A random edit of the lines of a file.
    #[derive(Debug, Clone)]
    enum Damage {
        Remove(Index),
        Insert(Index, String),
        Cut(Index, Index),
        Twice(Index),
    }

    fn damage() -> impl Strategy<Value = Damage> {
        let line = prop::sample::select(
            &[
                "\"\"\"",
                "'''",
                "keys = [\"other\"]",
                "[",
                "]",
                "keys = [",
                "\"other\",",
                "[x]",
                "organizations = [\"other\"]",
                "#",
                "[[key]]",
                "x = \"\"\"",
                "\"",
                "[ revoked ]",
            ][..],
        );
        prop_oneof![
            any::<Index>().prop_map(Damage::Remove),
            (any::<Index>(), line.prop_map(str::to_owned))
                .prop_map(|(at, line)| Damage::Insert(at, line)),
            any::<(Index, Index)>().prop_map(|(line, at)| Damage::Cut(line, at)),
            any::<Index>().prop_map(Damage::Twice),
        ]
    }

    /// Applies the edits.
    fn damaged(text: &str, damage: &[Damage]) -> String {
        let mut lines: Vec<String> = text.split('\n').map(str::to_owned).collect();
        for damage in damage {
            let count = lines.len();
            match damage {
                Damage::Remove(at) if count > 1 => _ = lines.remove(at.index(count)),
                Damage::Remove(_) => {}
                Damage::Insert(at, line) => lines.insert(at.index(count + 1), line.clone()),
                Damage::Cut(line, at) => {
                    let line = &mut lines[line.index(count)];
                    let at = at.index(line.len() + 1);
                    line.truncate(at);
                }
                Damage::Twice(at) => {
                    let line = lines[at.index(count)].clone();
                    lines.push(line);
                }
            }
        }
        lines.join("\n")
    }

    const BEFORE: &str = "[server]\nlisten = \"127.0.0.1:0\"\n[[api]]\nname = \"desk\"\n\
        [api.scopes.x]\ndescription = '''\nlong\n'''\nallows = [\"GET /\"]\n";
    const AFTER: &str = "[[key]]\nid = \"key_a\"\nname = \"\"\"\nlong\n\"\"\"\nscopes = [\n\
        \"x\",\n]\n[log]\nrequests = true\n";

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(3000))]

        /// The damage spares the lines of the section and the next header.
        #[test]
        fn damage_elsewhere_never_yields_a_revocation_that_the_file_does_not_name(
            before in vec(damage(), 0..4),
            after in vec(damage(), 0..4),
        ) {
            let section = "[revoked]\nkeys = [\"key_a\", \"key_b\"]\norganizations = [\"org\"]\n";
            let named = alone(section).expect("it can be read");
            // The damage begins after the next header.
            let after = format!("[[key]]\n{}", damaged(AFTER, &after));
            let text = format!("{}\n{section}{after}", damaged(BEFORE, &before));
            if let Ok(found) = alone(&text) {
                prop_assert_eq!(found, named);
            }
        }

        #[test]
        fn any_damage_at_all_yields_nothing_that_stands_nowhere(
            damage in vec(damage(), 0..6),
        ) {
            let text = format!("{BEFORE}[revoked]\nkeys = [\"key_a\", \"key_b\"]\n{AFTER}");
            let text = damaged(&text, &damage);
            if let Ok((keys, organizations)) = alone(&text) {
                for name in keys.iter().chain(&organizations) {
                    prop_assert!(text.contains(&format!("\"{name}")), "{}", name);
                }
            }
        }
    }
}
