//! The three files that pages load. Their names carry a hash of their content, so that a browser
//! may keep them for ever.

/// A file that pages load.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::control::pages) struct Asset {
    /// The name without a hash, such as `app`.
    pub(in crate::control::pages) stem: &'static str,
    /// What the name ends with, such as `css`.
    pub(in crate::control::pages) extension: &'static str,
    /// For `Content-Type`.
    pub(in crate::control::pages) media_type: &'static str,
    /// The file.
    pub(in crate::control::pages) content: &'static [u8],
}

const STYLE: Asset = Asset {
    stem: "app",
    extension: "css",
    media_type: "text/css; charset=utf-8",
    content: include_bytes!("assets/app.css"),
};
const SCRIPT: Asset = Asset {
    stem: "app",
    extension: "js",
    media_type: "text/javascript; charset=utf-8",
    content: include_bytes!("assets/app.js"),
};
const ICON: Asset = Asset {
    stem: "icon",
    extension: "svg",
    media_type: "image/svg+xml",
    content: include_bytes!("assets/icon.svg"),
};

/// All of them.
pub(in crate::control::pages) const ASSETS: [Asset; 3] = [STYLE, SCRIPT, ICON];

impl Asset {
    /// Its name under `/assets/`, such as `app.0123456789abcdef.css`.
    pub(in crate::control::pages) fn file_name(&self) -> String {
        format!("{}.{:016x}.{}", self.stem, hash(self.content), self.extension)
    }
}

/// Where the files are: paths after the base.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::control::pages) struct AssetPaths {
    /// The style sheet.
    pub(in crate::control::pages) style: String,
    /// The script.
    pub(in crate::control::pages) script: String,
    /// The icon.
    pub(in crate::control::pages) icon: String,
}

impl Default for AssetPaths {
    /// Those of [`ASSETS`].
    fn default() -> Self {
        let path = |asset: Asset| format!("/assets/{}", asset.file_name());
        Self { style: path(STYLE), script: path(SCRIPT), icon: path(ICON) }
    }
}

/// FNV-1a with 64 bits: it tells versions apart and guards nothing.
const fn hash(content: &[u8]) -> u64 {
    let mut hash = 0xcbf2_9ce4_8422_2325_u64;
    let mut place = 0;
    while place < content.len() {
        hash = (hash ^ content[place] as u64).wrapping_mul(0x0000_0100_0000_01b3);
        place += 1;
    }
    hash
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_of_a_file_changes_with_its_content() {
        assert_eq!(hash(b""), 0xcbf2_9ce4_8422_2325);
        assert_eq!(hash(b"a"), 0xaf63_dc4c_8601_ec8c);
        let paths = AssetPaths::default();
        assert!(paths.style.starts_with("/assets/app.") && paths.style.ends_with(".css"));
        assert_eq!(paths.style.len(), "/assets/app.0123456789abcdef.css".len());
    }
}
