//! `platform` and `platforms` of an image: one or several, spelled as BuildKit spells them.
//!
//! Knows no engine, and not what becomes of several.

use ron2::ast::Expr;

use super::Word;
use super::decode::{Reader, span_of};
use super::raw::RawImage;
use super::scope::Scope;
use crate::syntax::error::SyntaxError;
use crate::syntax::resolve::platform;

impl Reader {
    /// Takes one of the two keys; a set of keys that has both is a mistake.
    pub(super) fn platforms(&mut self, image: &mut RawImage, written: Option<Vec<Word>>, value: &Expr<'_>) {
        if image.platforms.is_some() {
            let error = SyntaxError::new(span_of(value), "`platform` and `platforms` both stand here");
            self.errors.push(error.hint("keep `platforms`: one of them is the same as `platform`"));
        }
        image.platforms = written.or(image.platforms.take());
    }
}

impl Scope<'_> {
    /// A platform in its canonical spelling.
    pub(super) fn platform(&mut self, word: &Word) -> Option<String> {
        let word = self.fill(word);
        let asked = platform::asked(&word.text).map_err(|(why, hint)| {
            let message = format!("`{}` cannot be built for: {why}", word.text);
            self.errors.push(SyntaxError::new(word.span, message).hint(hint));
        });
        asked.ok()
    }

    /// Platforms in their order. One text may hold several with commas between them, as flags and variables do.
    pub(super) fn platforms(&mut self, words: &[Word]) -> Vec<String> {
        let mut found: Vec<String> = Vec::new();
        for word in words {
            let told = self.errors.len();
            let filled = self.fill(word);
            if self.errors.len() > told {
                continue;
            }
            for text in filled.text.split(',').map(str::trim) {
                let one = Word { text: crate::syntax::braces::escape(text), span: word.span };
                let Some(one) = self.platform(&one) else { continue };
                if found.iter().any(|other| is_one(other, &one)) {
                    let error =
                        SyntaxError::new(word.span, format!("the platform `{one}` stands here twice"));
                    self.errors.push(error.hint("an index has one image for each"));
                } else {
                    found.push(one);
                }
            }
        }
        found
    }
}

/// Whether two spellings mean one platform: `v8` is what every arm64 is.
fn is_one(one: &str, other: &str) -> bool {
    one.trim_end_matches("/v8") == other.trim_end_matches("/v8")
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use crate::syntax::imagefile::read;

    fn found(image: &str) -> String {
        let text = format!(
            r#"(vars: {{"P": "linux/amd64,arm64"}}, defaults: (platform: "s390x"),
                templates: {{"t": (platforms: ["amd64", "arm64"])}}, images: {{"a": ({image})}})"#
        );
        match read(&text, &BTreeMap::new()) {
            Ok(file) => file.images[0].platforms.join(" "),
            Err(errors) => errors.iter().map(|error| format!("{error:?}")).collect(),
        }
    }

    #[test]
    fn one_platform_or_several_are_said_by_either_key() {
        for (image, wanted) in [
            ("", "linux/s390x"),
            (r#"platform: "amd64""#, "linux/amd64"),
            (r#"platforms: "amd64""#, "linux/amd64"),
            (r#"platforms: ["amd64"]"#, "linux/amd64"),
            (r#"platforms: ["arm64", "linux/x86_64"]"#, "linux/arm64 linux/amd64"),
            (r#"platforms: ["{P}"]"#, "linux/amd64 linux/arm64"),
            (r#"platforms: "{P}""#, "linux/amd64 linux/arm64"),
            (r#"like: "t""#, "linux/amd64 linux/arm64"),
            (r#"like: "t", platform: "riscv64""#, "linux/riscv64"),
            (r#"platform: "linux/amd64, arm64""#, "linux/amd64 linux/arm64"),
            ("platforms: []", ""),
        ] {
            assert_eq!(found(image), wanted, "{image}");
        }
    }

    #[test]
    fn platforms_that_say_too_much_are_mistakes() {
        for (image, told) in [
            (r#"platform: "amd64", platforms: ["arm64"]"#, "both stand here"),
            (r#"platforms: ["amd64", "x86_64"]"#, "the platform `linux/amd64` stands here twice"),
            (r#"platforms: ["arm64", "arm64/v8"]"#, "the platform `linux/arm64/v8` stands here twice"),
            (r#"platforms: ["amd46"]"#, "it is not a platform"),
            (r#"platforms: ["amd64", "{Q}"]"#, "there is no variable `Q`"),
        ] {
            assert!(
                found(image).contains(&told.replace('"', "\\\"")) || found(image).contains(told),
                "{image}: {}",
                found(image)
            );
        }
    }
}
