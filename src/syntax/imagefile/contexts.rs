//! Named contexts: the image or the files that a name in a Dockerfile stands for.
//!
//! Follows docker's `--build-context`. Knows the names of the Imagefile's images and no Dockerfile.

use std::collections::{BTreeMap, BTreeSet};

use super::raw::{Pairs, RawSource};
use super::scope::Scope;
use super::{DeclaredContext, StandsFor, Word};
use crate::syntax::error::SyntaxError;
use crate::syntax::git_source;
use crate::syntax::layout_source::{self, LayoutSource};
use crate::syntax::reference;
use crate::syntax::suggest::did_you_mean;

impl Scope<'_> {
    /// The contexts of the image `user`; those named in `own` are its own, the others inherited.
    pub(super) fn contexts(
        &mut self,
        user: &Word,
        pairs: &Pairs<RawSource>,
        own: &BTreeSet<&str>,
        images: &BTreeSet<&str>,
    ) -> BTreeMap<String, DeclaredContext> {
        let mut found: BTreeMap<String, DeclaredContext> = BTreeMap::new();
        for (key, value) in pairs {
            let name = self.context_name(key);
            let own = own.contains(key.text.as_str());
            // What all images inherit, the one that it stands for need not give up.
            if let RawSource::Text(word) = value
                && self.fill(word).text == user.text
                && !own
            {
                continue;
            }
            let stands_for = self.meaning(user, key, value, images);
            let (Some(name), Some(stands_for)) = (name, stands_for) else { continue };
            if let Some(other) = found.get(&name).filter(|other| other.stands_for != stands_for) {
                let stands = match &other.stands_for {
                    StandsFor::Image(reference) => format!("`{reference}`"),
                    StandsFor::Files(_) => "other files".to_owned(),
                };
                let message = format!("`{}` names a context that stands for {stands} already", key.text);
                let hint = format!("to docker all of them are `{name}`: keep one");
                self.errors.push(SyntaxError::new(key.span, message).hint(hint));
            }
            found.insert(name, DeclaredContext { stands_for, own, span: key.span });
        }
        found
    }

    fn context_name(&mut self, key: &Word) -> Option<String> {
        let name = reference::context_name(&key.text);
        if name.is_none() {
            let why = match reference::parse(&key.text) {
                Err(why) => why,
                Ok(_) => "docker looks for no context of that name".to_owned(),
            };
            let error = SyntaxError::new(key.span, format!("`{}` cannot name a context: {why}", key.text));
            self.errors.push(error.hint("write it as FROM has it: {\"acme/core\": \"core\"}"));
        }
        name
    }

    /// The meaning of a context.
    fn meaning(
        &mut self,
        user: &Word,
        key: &Word,
        source: &RawSource,
        images: &BTreeSet<&str>,
    ) -> Option<StandsFor> {
        let word = match source {
            RawSource::Git(_) => return self.source(source).map(|(_, from)| StandsFor::Files(from)),
            RawSource::Text(word) => self.fill(word),
        };
        let text = word.text.as_str();
        if own_name(text) == user.text {
            let name = own_name(text);
            let message = format!("the context `{}` of `{name}` stands for the image itself", key.text);
            let hint = format!("an image is never its own base; one outside is \"docker-image://{name}\"");
            self.errors.push(SyntaxError::new(word.span, message).hint(hint));
            return None;
        }
        let refused = match read(&key.text, text, |name| images.contains(name)) {
            Ok(Meaning::Image(reference)) => return Some(StandsFor::Image(reference)),
            Ok(Meaning::Layout(layout)) => {
                let path = self.path(Word { text: layout.path.clone(), span: word.span })?.text;
                return Some(StandsFor::Image(LayoutSource { path, ..layout }.to_string()));
            }
            Ok(Meaning::Files) => return self.source(source).map(|(_, from)| StandsFor::Files(from)),
            Ok(Meaning::Word) => {
                let near = did_you_mean(text, images.iter().copied());
                let other = format!("a folder is \"./{text}\", an image outside \"docker-image://{text}\"");
                let message =
                    format!("the context `{}` stands for `{text}`, and no image here is named so", key.text);
                (message, near.map_or_else(|| other.clone(), |near| format!("{near} {other}")))
            }
            Err(refused) => refused,
        };
        self.errors.push(SyntaxError::new(word.span, refused.0).hint(refused.1));
        None
    }
}

/// The name of an image without the words by which bake and compose name what they build.
fn own_name(text: &str) -> &str {
    ["target:", "service:"].iter().find_map(|word| text.strip_prefix(word)).unwrap_or(text)
}

/// The meaning of a context's value, as far as its words tell.
pub(crate) enum Meaning {
    /// The image of this name, or of this reference.
    Image(String),
    /// An image in an OCI layout, whose path is as it was written.
    Layout(LayoutSource),
    /// A folder or a repository.
    Files,
    /// A word that is the name of no image here: to docker a folder.
    Word,
}

/// Reads the value of the context `key` as docker and bake do; a mistake comes with a hint.
pub(crate) fn read(
    key: &str,
    text: &str,
    is_image: impl Fn(&str) -> bool,
) -> Result<Meaning, (String, String)> {
    if let Some(outside) = text.strip_prefix("docker-image:") {
        let outside = outside.strip_prefix("//").unwrap_or(outside);
        return match reference::parse(outside) {
            Ok(_) => Ok(Meaning::Image(outside.to_owned())),
            Err(why) => Err((
                format!("the context `{key}` cannot stand for `{outside}`: {why}"),
                "as in \"docker-image://alpine:3.20\"".to_owned(),
            )),
        };
    }
    if is_image(text) {
        return Ok(Meaning::Image(text.to_owned()));
    }
    let name = own_name(text);
    if name != text {
        return match is_image(name) {
            true => Ok(Meaning::Image(name.to_owned())),
            false => Err((
                format!("the context `{key}` stands for `{text}`, and no image here is named `{name}`"),
                "`imk list` shows all images".to_owned(),
            )),
        };
    }
    if layout_source::is_meant(text) {
        return layout_source::parse(text).map(Meaning::Layout).map_err(|why| {
            let hint = "as in \"oci-layout://vendor/os:1.2\" or \"oci-layout://vendor/os@sha256:…\"";
            (format!("the context `{key}` cannot stand for `{text}`: {why}"), hint.to_owned())
        });
    }
    if text.contains("://") && git_source::parse(text).is_err() {
        return Err((
            format!("the context `{key}` is an address (`{text}`) of neither an image nor a git repository"),
            "an archive is fetched and unpacked by ADD; a folder is \"./NAME\"".to_owned(),
        ));
    }
    if git_source::is_remote(text) {
        return Ok(Meaning::Files);
    }
    let folder =
        matches!(text, "" | "." | "..") || ["./", "../", "/"].iter().any(|word| text.starts_with(word));
    Ok(if folder { Meaning::Files } else { Meaning::Word })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use crate::syntax::imagefile::{OverlaySource, StandsFor, read};

    /// The contexts of the image `web` beside `core`, `os:alp` and `team/api`; or the mistakes.
    fn found(web: &str, more: &str) -> String {
        let text = format!(
            r#"(vars: {{"V": "3.20"}}, {more} images: {{"core": (), "os:alp": (), "team/api": (), "web": ({web})}})"#
        );
        match read(&text, &BTreeMap::new()) {
            Ok(file) => {
                let web = file.images.iter().find(|image| image.name.text == "web").unwrap();
                let all = web.contexts.iter();
                all.map(|(name, context)| {
                    let inherited = if context.own { "" } else { " (inherited)" };
                    let stands_for = match &context.stands_for {
                        StandsFor::Image(reference) => reference.clone(),
                        StandsFor::Files(OverlaySource::Path(path)) => format!("files of `{path}`"),
                        StandsFor::Files(OverlaySource::Git(source)) => {
                            format!("files of {}", source.shown())
                        }
                    };
                    format!("{name}={stands_for}{inherited}")
                })
                .collect::<Vec<_>>()
                .join(" ")
            }
            Err(errors) => {
                let told = errors.iter().map(|error| match &error.hint {
                    Some(hint) => format!("{} ({hint})", error.message),
                    None => error.message.clone(),
                });
                told.collect::<Vec<_>>().join("; ")
            }
        }
    }

    #[test]
    fn a_context_stands_for_an_image_here_or_outside() {
        for (pairs, wanted) in [
            (r#""acme/core": "core""#, "acme/core=core"),
            (r#""docker.io/acme/core:latest": "core""#, "acme/core=core"),
            (r#""library/core": "core""#, "core=core"),
            (r#""build": "os:alp", "acme/api:1": "team/api""#, "acme/api:1=team/api build=os:alp"),
            (r#""base": "docker-image://alpine:{V}""#, "base=alpine:3.20"),
            (r#""base": "docker-image:alpine""#, "base=alpine"),
            (r#""base": "docker-image://localhost:5000/a/b:1""#, "base=localhost:5000/a/b:1"),
            (r#""web": "docker-image://web""#, "web=web"),
            (r#""no": "docker-image://scratch""#, "no=scratch"),
            (r#""a": "core", "a:latest": "core""#, "a=core"),
            (r#""x": "target:core", "y": "service:os:alp""#, "x=core y=os:alp"),
            (r#""x": "oci-layout://./vendor/../os:{V}""#, "x=oci-layout://os:3.20"),
            (r#""x": "oci-layout:.""#, "x=oci-layout://."),
            (r#""x": "./lib", "y": ".", "z": "./a/../b/""#, "x=files of `lib` y=files of `` z=files of `b`"),
            (r#""x": "https://h.example/o/r.git#main:sub""#, "x=files of https://h.example/o/r.git#main:sub"),
            (
                r#""x": Git(url: "https://h.example/o/r.git", tag: "v{V}")"#,
                "x=files of https://h.example/o/r.git#v3.20",
            ),
        ] {
            assert_eq!(found(&format!("contexts: {{{pairs}}}"), ""), wanted, "{pairs}");
        }
    }

    #[test]
    fn contexts_are_inherited_name_by_name() {
        let template = r#"templates: {"t": (contexts: {"a": "core", "b": "core"})},"#;
        let wanted = "a=core (inherited) b=team/api";
        assert_eq!(found(r#"like: "t", contexts: {"b": "team/api"}"#, template), wanted);
        // What all images inherit, the image that it stands for does not need.
        let defaults = r#"defaults: (contexts: {"acme/web": "web", "acme/core": "core"}),"#;
        assert_eq!(found("", defaults), "acme/core=core (inherited)");
    }

    #[test]
    fn what_no_context_can_be_is_refused_by_its_name() {
        for (pairs, wanted) in [
            (r#""x": "..""#, "`..` leads out of the Imagefile's folder (paths start at the Imagefile's folder; move the Imagefile up to reach more)".to_owned()),
            (
                r#""x": "https://h.example/a.tar""#,
                "the context `x` is an address (`https://h.example/a.tar`) of neither an image nor a git repository (an archive is fetched and unpacked by ADD; a folder is \"./NAME\")".to_owned(),
            ),
            (
                r#""x": "oci-layout://../os""#,
                "`../os` leads out of the Imagefile's folder (paths start at the Imagefile's folder; move the Imagefile up to reach more)".to_owned(),
            ),
            (
                r#""x": "oci-layout://os@1""#,
                "the context `x` cannot stand for `oci-layout://os@1`: the digest behind `@` is not well formed (as in \"oci-layout://vendor/os:1.2\" or \"oci-layout://vendor/os@sha256:…\")".to_owned(),
            ),
            (
                r#""x": "cores""#,
                "the context `x` stands for `cores`, and no image here is named so (did you mean `core`? a folder is \"./cores\", an image outside \"docker-image://cores\")".to_owned(),
            ),
            (
                r#""x": "target:cores""#,
                "the context `x` stands for `target:cores`, and no image here is named `cores` (`imk list` shows all images)".to_owned(),
            ),
            (
                r#""x": "web""#,
                "the context `x` of `web` stands for the image itself (an image is never its own base; one outside is \"docker-image://web\")".to_owned(),
            ),
            (
                r#""x": "docker-image://A""#,
                "the context `x` cannot stand for `A`: the name of an image must be in small letters (as in \"docker-image://alpine:3.20\")".to_owned(),
            ),
            (
                r#""X": "core""#,
                "`X` cannot name a context: the name of an image must be in small letters (write it as FROM has it: {\"acme/core\": \"core\"})".to_owned(),
            ),
            (
                r#""scratch": "core""#,
                "`scratch` cannot name a context: docker looks for no context of that name (write it as FROM has it: {\"acme/core\": \"core\"})".to_owned(),
            ),
            (
                r#""a": "core", "docker.io/library/a": "team/api""#,
                "`docker.io/library/a` names a context that stands for `core` already (to docker all of them are `a`: keep one)".to_owned(),
            ),
        ] {
            assert_eq!(found(&format!("contexts: {{{pairs}}}"), ""), wanted, "{pairs}");
        }
    }
}
