//! Headers of a request, as far as a webhook's sender is known by them.
//!
//! A header that stands twice is as good as none: two readers could each believe another one.

use std::collections::BTreeMap;

/// The headers, by their names in small letters.
#[derive(Clone, Debug, Default)]
pub struct Headers(BTreeMap<String, Vec<Vec<u8>>>);

impl Headers {
    /// The headers of a request, in any order and any case.
    pub fn new<'a>(all: impl IntoIterator<Item = (&'a str, &'a [u8])>) -> Self {
        let mut headers: BTreeMap<String, Vec<Vec<u8>>> = BTreeMap::new();
        for (name, value) in all {
            headers.entry(name.to_ascii_lowercase()).or_default().push(value.to_owned());
        }
        Self(headers)
    }

    /// Whether it is there at all.
    pub fn has(&self, name: &str) -> bool {
        self.0.contains_key(name)
    }

    /// The value of one that stands once and is printable ASCII.
    pub fn one(&self, name: &str) -> Option<&str> {
        let [value] = self.0.get(name)?.as_slice() else { return None };
        let is_plain = value.iter().all(|byte| (b' '..=b'~').contains(byte));
        std::str::from_utf8(value).ok().filter(|_| is_plain).map(str::trim)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_that_stands_twice_or_is_not_text_is_none() {
        let headers = Headers::new([
            ("X-One", b" a ".as_slice()),
            ("x-two", b"a"),
            ("X-Two", b"b"),
            ("x-odd", b"\xff"),
            ("x-tab", b"a\tb"),
        ]);
        assert_eq!(headers.one("x-one"), Some("a"));
        assert_eq!(["x-two", "x-odd", "x-tab", "x-none"].map(|name| headers.one(name)), [None; 4]);
        assert!(headers.has("x-two") && !headers.has("x-none"));
    }
}
