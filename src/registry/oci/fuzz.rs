//! Answers of a registry under any bytes: see `crate::fuzz`.

use std::collections::BTreeSet;

use reqwest::header::{HeaderMap, HeaderValue, LINK, WWW_AUTHENTICATE};
use reqwest::{StatusCode, Url};

use super::base::Base;
use super::wire::Answer;
use super::{challenge, tags, words as said};
use crate::registry::document::Document;

/// A manifest or an index.
pub(crate) fn document(bytes: &[u8]) {
    let Ok(document) = Document::parse(bytes) else { return };
    let blobs = document.blobs();
    let digests: BTreeSet<&str> = blobs.iter().map(|entry| entry.digest.as_str()).collect();
    assert_eq!(digests.len(), blobs.len(), "each blob once");
    match document.choose("linux/amd64") {
        Ok(entry) => assert!(document.manifests.contains(entry)),
        Err(why) => assert!(!why.is_empty()),
    }
    let mut entries = document.manifests.clone();
    crate::registry::document::newest_first(&mut entries);
    assert_eq!(entries.len(), document.manifests.len());
}

/// A `WWW-Authenticate`, and the `Link` to a next page, which is at the same server.
pub(crate) fn header(bytes: &[u8]) {
    let Ok(value) = HeaderValue::from_bytes(bytes) else { return };
    let mut headers = HeaderMap::new();
    headers.insert(WWW_AUTHENTICATE, value.clone());
    let _ = challenge::of(&headers);
    headers.insert(LINK, value);
    let base = Base::of("r.example", "https", &BTreeSet::new()).expect("it is an address");
    let here = Url::parse("https://r.example/v2/app/tags/list?n=1000").expect("it is an address");
    let answer = Answer { status: StatusCode::OK, headers, bytes: Vec::new() };
    if let Some(next) = tags::following(&base, &here, &answer) {
        assert_eq!(next.origin(), here.origin());
    }
}

/// The body of a refusal: one line, without anything that moves a cursor.
pub(crate) fn words(bytes: &[u8]) {
    let line = said::of(StatusCode::FORBIDDEN, bytes);
    assert!(!line.is_empty() && !line.chars().any(char::is_control), "{line:?}");
    assert!(line.chars().count() <= 320, "{line:?}");
    let _ = said::is_absence(bytes);
}
