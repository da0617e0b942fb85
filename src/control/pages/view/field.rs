//! Parts of forms.

/// What was typed into a field, and what is wrong with it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(in crate::control::pages) struct Field {
    /// As it was typed.
    pub(in crate::control::pages) value: String,
    /// One or two sentences: what is wrong and what to do.
    pub(in crate::control::pages) error: Option<String>,
}

impl Field {
    /// A field with a value and no error.
    #[cfg(test)]
    pub(in crate::control::pages) fn of(value: &str) -> Self {
        Self { value: value.to_owned(), error: None }
    }

    /// Its lines that hold something, without blanks around them.
    pub(in crate::control::pages) fn lines(&self) -> Vec<&str> {
        self.value.lines().map(str::trim).filter(|line| !line.is_empty()).collect()
    }
}

/// One of several values of a field.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::control::pages) struct Choice {
    /// What is sent.
    pub(in crate::control::pages) value: String,
    /// What is shown.
    pub(in crate::control::pages) label: String,
    /// Explains it.
    pub(in crate::control::pages) hint: Option<String>,
    /// Whether it is the one, or one of those.
    pub(in crate::control::pages) chosen: bool,
}

impl Choice {
    /// A choice without an explanation.
    pub(in crate::control::pages) fn of(value: &str, label: &str, chosen: bool) -> Self {
        Self { value: value.to_owned(), label: label.to_owned(), hint: None, chosen }
    }
}

/// A mistake in a form, for the summary on top.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::control::pages) struct FormError<'f> {
    /// The id of the element that it belongs to.
    pub(in crate::control::pages) field: &'static str,
    /// What is wrong.
    pub(in crate::control::pages) message: &'f str,
}

impl<'f> FormError<'f> {
    /// Those of the fields that have one, in their order.
    pub(in crate::control::pages) fn of(
        fields: &[(&'static str, &'f Option<String>)],
    ) -> Vec<Self> {
        let wrong = fields.iter().filter_map(|(field, error)| Some((*field, error.as_deref()?)));
        wrong.map(|(field, message)| Self { field, message }).collect()
    }
}

/// Writes a name as one segment of a path, or one value of a query (RFC 3986, section 2.3).
pub(in crate::control::pages) fn segment(name: &str) -> String {
    let mut text = String::with_capacity(name.len());
    for byte in name.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            text.push(byte.into());
        } else {
            text.push_str(&format!("%{byte:02X}"));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_one_segment_of_a_path() {
        assert_eq!(segment("org_acme"), "org_acme");
        assert_eq!(segment("a/b?c d"), "a%2Fb%3Fc%20d");
        assert_eq!(segment("é"), "%C3%A9");
    }

    #[test]
    fn blank_lines_of_a_field_are_nothing() {
        assert_eq!(Field::of(" a \n\n\tb\r\n").lines(), ["a", "b"]);
        assert!(Field::of(" \n ").lines().is_empty());
    }
}
