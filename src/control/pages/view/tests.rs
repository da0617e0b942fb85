//! What holds for every page.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::Texts;
use super::samples::{Given, Sample, all};

fn pages() -> Vec<Sample> {
    all(&Given::ordinary())
}

/// The start tags of a page that begin with this name.
fn tags<'h>(html: &'h str, name: &str) -> Vec<&'h str> {
    let start = format!("<{name}");
    let begins = html.match_indices(&start).map(|(place, _)| &html[place..]);
    let whole = begins.filter(|tag| !tag[start.len()..].starts_with(char::is_alphanumeric));
    whole.map(|tag| &tag[..=tag.find('>').expect("a tag ends")]).collect()
}

/// The value of an attribute.
fn attribute<'t>(tag: &'t str, name: &str) -> Option<&'t str> {
    let (_, rest) = tag.split_once(&format!(" {name}=\""))?;
    rest.split_once('"').map(|(value, _)| value)
}

#[test]
fn a_name_with_markup_is_escaped_on_every_page() {
    let name = "</title><script>alert('x')</script>\"><img src=x onerror=alert(1)>".to_owned();
    for page in all(&Given { name, ..Given::ordinary() }) {
        assert_eq!(page.html.matches("<script").count(), 1, "{}", page.name);
        assert!(!page.html.contains("<img"), "{}", page.name);
        assert_eq!(page.html.matches("</title>").count(), 1, "{}", page.name);
    }
}

#[test]
fn every_form_that_posts_names_its_session() {
    for page in pages() {
        for form in page.html.split("<form").skip(1) {
            let (tag, rest) = form.split_once('>').expect("a tag ends");
            let body = rest.split("</form>").next().expect("a form ends");
            assert!(tag.contains(" action=\"/"), "{}: {tag}", page.name);
            assert!(tag.contains(" method=\""), "{}: {tag}", page.name);
            let names = body.contains("<input type=\"hidden\" name=\"session\"");
            assert_eq!(tag.contains("method=\"post\""), names, "{}: {tag}", page.name);
        }
    }
}

#[test]
fn forms_that_make_or_rotate_carry_an_idempotency_key() {
    for name in ["new-key", "review-key", "rotate"] {
        let page = pages().into_iter().find(|page| page.name == name).expect("a sample");
        assert!(page.html.contains(" name=\"idempotency\" value=\"kT5"), "{name}");
    }
}

#[test]
fn no_page_has_an_inline_style_or_script() {
    for page in pages() {
        assert!(!page.html.contains(" style="), "{}", page.name);
        assert!(!page.html.contains("<style"), "{}", page.name);
        assert!(!page.html.contains("javascript:"), "{}", page.name);
        for tag in tags(&page.html, "script") {
            assert!(tag.contains(" src=\"") && tag.contains(" defer"), "{}", page.name);
        }
        assert!(page.html.contains(" defer></script>"), "{}", page.name);
        let names = page.html.split(" on").skip(1).filter_map(|part| part.split_once("=\""));
        let handlers =
            names.filter(|(name, _)| name.chars().all(|letter| letter.is_ascii_lowercase()));
        assert_eq!(handlers.count(), 0, "{}", page.name);
    }
}

#[test]
fn nothing_is_loaded_from_elsewhere() {
    for page in pages() {
        let loads = ["script", "link", "img", "use", "iframe"];
        for tag in loads.into_iter().flat_map(|name| tags(&page.html, name)) {
            let from = attribute(tag, "src").or(attribute(tag, "href")).expect("an address");
            assert!(from.starts_with("/assets/") || from.starts_with("/ui/assets/"), "{tag}");
        }
    }
}

#[test]
fn every_page_has_a_title_a_language_one_heading_and_a_skip_link() {
    for page in pages() {
        assert!(page.html.contains("<html lang=\"en\">"), "{}", page.name);
        assert_eq!(tags(&page.html, "h1").len(), 1, "{}", page.name);
        assert_eq!(tags(&page.html, "title").len(), 1, "{}", page.name);
        assert!(!page.html.contains("<title></title>"), "{}", page.name);
        assert!(page.html.contains("<a class=\"skip\" href=\"#content\">"), "{}", page.name);
        assert!(page.html.contains("<main id=\"content\""), "{}", page.name);
    }
}

#[test]
fn headings_leave_out_no_level() {
    for page in pages() {
        let mut last = 0;
        for (place, _) in page.html.match_indices("<h") {
            let digit = page.html.as_bytes()[place + 2];
            if (b'1'..=b'3').contains(&digit) {
                let level = digit - b'0';
                assert!(level <= last + 1, "{}: h{level} after h{last}", page.name);
                last = level;
            }
        }
    }
}

#[test]
fn ids_are_unique_and_every_reference_leads_to_one() {
    for page in pages() {
        let ids: Vec<&str> = page
            .html
            .match_indices(" id=\"")
            .filter_map(|(place, _)| page.html[place + 5..].split('"').next())
            .collect();
        let unique: BTreeSet<&str> = ids.iter().copied().collect();
        assert_eq!(ids.len(), unique.len(), "{}: {ids:?}", page.name);
        for name in ["for=\"", "aria-describedby=\"", "aria-labelledby=\"", "href=\"#"] {
            for (place, _) in page.html.match_indices(name) {
                let value = page.html[place + name.len()..].split('"').next().unwrap_or("");
                for id in value.split(' ') {
                    assert!(unique.contains(id), "{}: {name}{id}", page.name);
                }
            }
        }
    }
}

#[test]
fn every_error_stands_beside_its_field_and_in_the_summary() {
    let wrong = pages().into_iter().filter(|page| page.name.ends_with("-errors"));
    for page in wrong {
        assert!(page.html.contains("<title>Error: "), "{}", page.name);
        let beside = page.html.matches("<p class=\"error\"").count();
        let summary = page.html.split("data-errors>").nth(1).expect("a summary");
        let listed = summary.split("</ul>").next().unwrap_or("").matches("<li>").count();
        assert!(beside == listed && listed >= 7, "{}: {beside}, {listed}", page.name);
    }
}

#[test]
fn what_was_typed_is_kept_after_an_error() {
    let page = pages().into_iter().find(|page| page.name == "new-key-errors").expect("a sample");
    assert!(page.html.contains("value=\"tickets:write\" checked"));
    assert!(page.html.contains("value=\"90d\" data-day=\"26 Feb 2027\" checked"));
    assert!(page.html.contains(">\nCRM integration</textarea>"));
}

#[test]
fn every_table_has_a_caption_and_every_head_a_scope() {
    for page in pages() {
        let (tables, captions) = (tags(&page.html, "table"), tags(&page.html, "caption"));
        assert_eq!(tables.len(), captions.len(), "{}", page.name);
        for tag in tags(&page.html, "th") {
            assert!(tag.contains(" scope=\""), "{}: {tag}", page.name);
        }
    }
}

/// The code that chooses texts for pages.
const HANDLERS: [&str; 11] = [
    include_str!("../create.rs"),
    include_str!("../edit.rs"),
    include_str!("../end.rs"),
    include_str!("../enter.rs"),
    include_str!("../key.rs"),
    include_str!("../key_form.rs"),
    include_str!("../list.rs"),
    include_str!("../records.rs"),
    include_str!("../router.rs"),
    include_str!("../signed.rs"),
    include_str!("../usage.rs"),
];

#[test]
fn every_text_of_the_table_is_used() {
    let mut texts = Texts::default();
    for name in Texts::NAMES {
        let said = match texts_mark(name) {
            Some(mark) => format!("«{name}» {mark}"),
            None => format!("«{name}»"),
        };
        assert!(texts.set(name, said));
    }
    let pages = all(&Given { texts: Arc::new(texts), ..Given::ordinary() });
    let whole: String = pages.into_iter().map(|page| page.html).collect();
    let chosen = |name: &str| HANDLERS.iter().any(|file| file.contains(&format!(".{name}")));
    let is_used = |name: &str| whole.contains(&format!("«{name}»")) || chosen(name);
    let unused: Vec<_> = Texts::NAMES.iter().filter(|name| !is_used(name)).collect();
    assert!(unused.is_empty(), "{unused:?}");
}

/// The place for a value in a text.
fn texts_mark(name: &str) -> Option<&'static str> {
    match name {
        "sentence_name" => Some("{name}"),
        "consequence_used" | "rotate_used" => Some("{when}"),
        _ => None,
    }
}

#[test]
fn revoking_says_what_will_happen() {
    let page = pages().into_iter().find(|page| page.name == "revoke").expect("a sample");
    assert!(page.html.contains(
        "Used 3 minutes ago from 203.0.113.0/24. Requests with this key are refused from the next \
         one on. <strong>This cannot be undone.</strong>"
    ));
}

#[test]
fn the_form_of_a_link_waits_for_a_click_while_another_session_is_open() {
    let page = |name| pages().into_iter().find(|page| page.name == name).expect("a sample");
    assert!(page("open").html.contains(" data-submit>"));
    assert!(!page("open-other").html.contains("data-submit"));
}

#[test]
fn the_key_stands_on_no_page_but_its_own() {
    for page in pages() {
        let shows = page.html.contains("sk_live_EXAMPLE");
        let may = ["key-shown", "key-rotated", "key-rotated-at-once"].contains(&page.name);
        assert_eq!(shows, may, "{}", page.name);
    }
}

#[test]
fn words_of_a_host_stand_on_its_pages() {
    let mut texts = Texts::default();
    texts.set("new_key", "Create New API Key".into());
    let pages = all(&Given { texts: Arc::new(texts), ..Given::ordinary() });
    let keys = pages.iter().find(|page| page.name == "keys").expect("a sample");
    assert!(keys.html.contains(">Create New API Key</a>"));
}
