//! The stylesheet, the script and the mark of the pages: files of the program, named by their content.
//!
//! A name that changes with the content may be kept by a browser for ever, and a newer imk is seen at once.

use std::sync::LazyLock;

/// A file of the pages.
pub struct Asset {
    /// The path that pages name, with a part of the content's hash in it.
    pub path: String,
    /// Its media type.
    pub kind: &'static str,
    /// Its text.
    pub text: &'static str,
}

/// The one stylesheet.
pub static STYLE: LazyLock<Asset> = LazyLock::new(|| asset("css", "text/css", include_str!("style.css")));
/// The one script; a page is whole without it.
pub static SCRIPT: LazyLock<Asset> =
    LazyLock::new(|| asset("js", "text/javascript", include_str!("live.js")));
/// The mark in a browser's tab.
pub static ICON: LazyLock<Asset> = LazyLock::new(|| asset("svg", "image/svg+xml", include_str!("icon.svg")));

/// The file that a path names.
pub fn find(path: &str) -> Option<&'static Asset> {
    [&*STYLE, &*SCRIPT, &*ICON].into_iter().find(|asset| asset.path == path)
}

fn asset(ending: &str, kind: &'static str, text: &'static str) -> Asset {
    let hash = blake3::hash(text.as_bytes()).to_hex();
    Asset { path: format!("/-/{}.{ending}", &hash[..16]), kind, text }
}
