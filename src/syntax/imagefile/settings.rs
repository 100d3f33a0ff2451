//! Settings of the command line: `PATTERN.KEY[.NAME]=VALUE`, as bake's `--set` has them.
//!
//! A setting is a key of the Imagefile that is written over what the images declare. Which kinds of keys can be said on
//! one line is decided here; what a value means is for the readers of the key.

use std::collections::BTreeMap;

use super::decode;
use super::kinds::{IMAGE_KINDS, Kind};
use super::merge::merge;
use super::raw::RawImage;
use crate::syntax::suggest::did_you_mean;
use crate::syntax::tag;

/// A mistake, and the remedy.
type Mistake = (String, String);

/// Keys of bake that are flags of imk.
const FLAGS: &[(&str, &str)] = &[
    ("no_cache", "--no-cache"),
    ("pull", "--pull"),
    ("push", "--push"),
    ("load", "--load"),
    ("secret", "`secrets` in the Imagefile"),
];

/// A setting for some images.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Setting {
    /// A name of an image, or a pattern of names.
    pub images: String,
    key: &'static str,
    kind: Kind,
    /// Of a map, the entry.
    name: Option<String>,
    value: String,
}

/// Reads `PATTERN.KEY[.NAME]`, and the value that stood behind a `=`.
///
/// # Errors
/// What is wrong with it, and what to do.
pub fn setting(place: &str, value: &str) -> Result<Setting, Mistake> {
    let parts: Vec<&str> = place.split('.').collect();
    let spelled = |part: &str| part.replace('-', "_");
    // Names of images may have dots as well: the first part that is a key is the key.
    let found = (1..parts.len()).find_map(|at| {
        let (key, kind) = IMAGE_KINDS.iter().find(|(key, _)| *key == spelled(parts[at]))?;
        Some((at, *key, *kind))
    });
    let Some((at, key, kind)) = found else {
        let last = spelled(parts.get(1).copied().unwrap_or_default());
        if let Some((_, flag)) = FLAGS.iter().find(|(other, _)| *other == last) {
            return Err((format!("`{place}` is not set for an image"), format!("write {flag}")));
        }
        let keys = IMAGE_KINDS.iter().map(|(key, _)| *key);
        let hint =
            did_you_mean(&last, keys).unwrap_or_else(|| "`imk keys` shows all keys of an image".into());
        return Err((format!("an image has no key `{last}` (`{place}`)"), hint));
    };
    let images = parts[..at].join(".");
    tag::glob(&images).map_err(|why| {
        (format!("`{images}` is no pattern: {why}"), "such as 'svc-*.target=prod'".to_owned())
    })?;
    let name = Some(parts[at + 1..].join(".")).filter(|name| !name.is_empty());
    let example =
        |text: &str| (format!("`{place}` cannot be set so"), format!("write it as IMAGE.{key}{text}"));
    match (kind, &name) {
        (Kind::TextByName | Kind::SourceByName, None) => Err(example(".NAME=VALUE")),
        (Kind::TextByName | Kind::SourceByName, Some(_)) => Ok(()),
        (Kind::Text | Kind::TextOrTexts | Kind::Texts | Kind::Tags | Kind::Source, None) => Ok(()),
        (Kind::Flag, None) if matches!(value, "true" | "false") => Ok(()),
        (Kind::Flag, None) => Err(example("=true")),
        (Kind::Text | Kind::TextOrTexts | Kind::Texts | Kind::Tags | Kind::Source | Kind::Flag, Some(_)) => {
            Err(example("=VALUE"))
        }
        _ => Err((
            format!("`{key}` is more than a text (`{place}`)"),
            "write it into the Imagefile".to_owned(),
        )),
    }?;
    Ok(Setting { images, key, kind, name, value: value.to_owned() })
}

/// Settings, and which of them met an image.
pub(super) struct Settings<'s> {
    all: Vec<(&'s Setting, Option<globset::GlobMatcher>, bool)>,
}

impl<'s> Settings<'s> {
    pub fn new(settings: &'s [Setting]) -> Self {
        let matcher = |setting: &Setting| tag::glob(&setting.images).ok().map(|glob| glob.compile_matcher());
        Self { all: settings.iter().map(|setting| (setting, matcher(setting), false)).collect() }
    }

    /// Writes over an image what is set for it. Mistakes in values are told at `at`, the place of its name, of a text of so
    /// many bytes.
    pub fn over(&mut self, name: &str, at: usize, length: usize, image: &mut RawImage) {
        let mut texts: BTreeMap<&str, Vec<String>> = BTreeMap::new();
        for (setting, matcher, met) in &mut self.all {
            let meets = setting.images == name || matcher.as_ref().is_some_and(|it| it.is_match(name));
            if meets {
                *met = true;
                texts.entry(setting.key).or_default().push(setting.entry());
            }
        }
        for (key, entries) in texts {
            let kind = IMAGE_KINDS.iter().find(|(other, _)| *other == key).map(|(_, kind)| *kind);
            let value = match kind {
                Some(Kind::TextByName | Kind::SourceByName) => format!("{{{}}}", entries.join(", ")),
                Some(Kind::TextOrTexts | Kind::Texts | Kind::Tags) => format!("[{}]", entries.join(", ")),
                // Of several texts the last counts.
                _ => entries.last().cloned().unwrap_or_default(),
            };
            let text = format!("({key}: {value})");
            let text = format!("{}{text}", " ".repeat(at.min(length.saturating_sub(text.len()))));
            decode::read_value(&text, None, |reader, value| merge(image, &reader.image(value)));
        }
    }

    /// The patterns that met no image.
    pub fn unmet(&self) -> Vec<String> {
        self.all.iter().filter(|(_, _, met)| !met).map(|(setting, ..)| setting.images.clone()).collect()
    }
}

impl Setting {
    /// As RON has it. Nothing in a typed value is a variable.
    fn entry(&self) -> String {
        let quoted = |text: &str| ron::to_string(text).unwrap_or_else(|_| format!("{text:?}"));
        let literal = quoted(&self.value.replace('{', "{{").replace('}', "}}"));
        match (&self.name, self.kind) {
            (_, Kind::Flag) => self.value.clone(),
            (Some(name), _) => format!("{}: {literal}", quoted(name)),
            (None, _) => literal,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Imagefile, read_with};
    use super::*;

    fn read(settings: &[(&str, &str)]) -> Result<Imagefile, String> {
        let text = r#"(templates: {"t": (args: {"A": "1", "B": "2"})}, images: {"web": (like: "t", target: "dev"), "svc-a": (), "svc.b": ()})"#;
        let all: Result<Vec<Setting>, Mistake> =
            settings.iter().map(|(place, value)| setting(place, value)).collect();
        let all = all.map_err(|(message, _)| message)?;
        read_with(text, &BTreeMap::new(), &all).map_err(|errors| errors[0].message.clone())
    }

    fn image(file: &Imagefile, name: &str) -> super::super::Declaration {
        file.images.iter().find(|image| image.name.text == name).unwrap().clone()
    }

    #[test]
    fn a_setting_is_written_over_what_images_declare() {
        let file = read(&[
            ("web.args.A", "{x}=y"),
            ("*.target", "prod"),
            ("svc-*.platform", "linux/arm64"),
            ("web.platforms", "linux/amd64,arm64"),
            ("svc.b.labels.org.x.y", "z"),
            ("web.cache-from", "r.example/a"),
            ("web.cache-from", "r.example/b"),
            ("web.any_tag", "true"),
        ])
        .unwrap();
        let web = image(&file, "web");
        assert_eq!((web.args["A"].as_str(), web.args["B"].as_str(), web.any_tag), ("{x}=y", "2", true));
        assert_eq!(web.cache.from, ["r.example/a", "r.example/b"]);
        assert!(file.images.iter().all(|image| image.target.as_ref().is_some_and(|it| it.text == "prod")));
        assert_eq!(image(&file, "svc-a").platforms, ["linux/arm64"]);
        assert_eq!(web.platforms, ["linux/amd64", "linux/arm64"]);
        assert_eq!(image(&file, "svc.b").labels["org.x.y"], "z");
        assert_eq!(file.unmet_settings, [""; 0]);
        assert_eq!(read(&[("nobody.target", "x")]).unwrap().unmet_settings, ["nobody"]);
    }

    #[test]
    fn what_cannot_be_set_says_why() {
        for (place, value, wanted) in [
            ("web.targt", "x", "an image has no key `targt` (`web.targt`)"),
            ("web.args", "A=1", "`web.args` cannot be set so"),
            ("web.target.x", "y", "`web.target.x` cannot be set so"),
            ("web.any_tag", "yes", "`web.any_tag` cannot be set so"),
            ("web.run", "x", "`run` is more than a text (`web.run`)"),
            ("web.no-cache", "true", "`web.no-cache` is not set for an image"),
            ("[.target", "x", "`[` is no pattern: unclosed character class; missing ']'"),
        ] {
            assert_eq!(read(&[(place, value)]).unwrap_err(), wanted);
        }
        let wrong = read(&[("web.platform", "nothing at all")]).unwrap_err();
        assert!(wrong.contains("`nothing at all` cannot be built for"), "{wrong}");
    }
}
