//! Named contexts: which image a name in a Dockerfile stands for.
//!
//! Follows docker's `--build-context`, as far as images go. What is no image is refused by its
//! name. Knows the names of the Imagefile's images and no Dockerfile.

use std::collections::{BTreeMap, BTreeSet};

use super::raw::Pairs;
use super::scope::Scope;
use super::{DeclaredContext, Word};
use crate::syntax::error::SyntaxError;
use crate::syntax::git_source;
use crate::syntax::reference;
use crate::syntax::suggest::did_you_mean;

impl Scope<'_> {
    /// The contexts of the image `user`; those named in `own` are its own, the others inherited.
    pub(super) fn contexts(
        &mut self,
        user: &Word,
        pairs: &Pairs<Word>,
        own: &BTreeSet<&str>,
        images: &BTreeSet<&str>,
    ) -> BTreeMap<String, DeclaredContext> {
        let mut found: BTreeMap<String, DeclaredContext> = BTreeMap::new();
        for (key, value) in pairs {
            let name = self.context_name(key);
            let value = self.fill(value);
            let own = own.contains(key.text.as_str());
            // What all images inherit, the one that it stands for need not give up.
            if value.text == user.text && !own {
                continue;
            }
            let reference = self.context_image(user, key, &value, images);
            let (Some(name), Some(reference)) = (name, reference) else { continue };
            if let Some(other) = found.get(&name).filter(|other| other.reference != reference) {
                let message =
                    format!("`{}` names a context that stands for `{}` already", key.text, other.reference);
                let hint = format!("to docker all of them are `{name}`: keep one");
                self.errors.push(SyntaxError::new(key.span, message).hint(hint));
            }
            found.insert(name, DeclaredContext { reference, own });
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

    /// The reference of the image that a context stands for.
    fn context_image(
        &mut self,
        user: &Word,
        key: &Word,
        value: &Word,
        images: &BTreeSet<&str>,
    ) -> Option<String> {
        let text = value.text.as_str();
        let mut refuse = |message: String, hint: String| {
            self.errors.push(SyntaxError::new(value.span, message).hint(hint));
            None
        };
        if let Some(outside) = text.strip_prefix("docker-image:") {
            let outside = outside.strip_prefix("//").unwrap_or(outside);
            return match reference::parse(outside) {
                Ok(_) => Some(outside.to_owned()),
                Err(why) => refuse(
                    format!("the context `{}` cannot stand for `{outside}`: {why}", key.text),
                    "as in \"docker-image://alpine:3.20\"".to_owned(),
                ),
            };
        }
        if text == user.text {
            return refuse(
                format!("the context `{}` of `{text}` stands for the image itself", key.text),
                format!("an image is never its own base; one outside is \"docker-image://{text}\""),
            );
        }
        if images.contains(text) {
            return Some(text.to_owned());
        }
        let called = ["target:", "service:"].iter().find_map(|word| text.strip_prefix(word));
        if let Some(name) = called {
            let hint = format!("write the image's name alone: \"{}\": \"{name}\"", key.text);
            return refuse(format!("`{text}` is how bake and compose name what they build"), hint);
        }
        if let Some(what) = no_image(text) {
            let hint = "put files over the context with `overlays` and copy them from there; an image outside is \"docker-image://NAME\"";
            let message =
                format!("the context `{}` is {what} (`{text}`), and imk gives images only", key.text);
            return refuse(message, hint.to_owned());
        }
        let near = did_you_mean(text, images.iter().copied());
        let outside = format!("an image outside is \"docker-image://{text}\", a folder goes into `overlays`");
        refuse(
            format!("the context `{}` stands for `{text}`, and no image here is named so", key.text),
            near.map_or_else(|| outside.clone(), |near| format!("{near} {outside}")),
        )
    }
}

/// The kind of a value that docker takes for a context and that is no image; none where it may name one.
pub fn no_image(text: &str) -> Option<&'static str> {
    let folder = matches!(text, "" | "." | "..")
        || ["./", "../", "/", "~", "local:", "cwd://"].iter().any(|word| text.starts_with(word));
    if text.starts_with("oci-layout:") {
        Some("an OCI layout")
    } else if folder {
        Some("a folder")
    } else if git_source::is_remote(text) || text.contains("://") {
        Some("an address")
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use crate::syntax::imagefile::read;

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
                    format!("{name}={}{inherited}", context.reference)
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
        let files = "put files over the context with `overlays` and copy them from there; an image outside is \"docker-image://NAME\"";
        for (pairs, wanted) in [
            (r#""x": "./lib""#, format!("the context `x` is a folder (`./lib`), and imk gives images only ({files})")),
            (r#""x": "..""#, format!("the context `x` is a folder (`..`), and imk gives images only ({files})")),
            (r#""x": "/srv""#, format!("the context `x` is a folder (`/srv`), and imk gives images only ({files})")),
            (
                r#""x": "https://h.example/o/r.git#main""#,
                format!("the context `x` is an address (`https://h.example/o/r.git#main`), and imk gives images only ({files})"),
            ),
            (
                r#""x": "oci-layout://./out""#,
                format!("the context `x` is an OCI layout (`oci-layout://./out`), and imk gives images only ({files})"),
            ),
            (
                r#""x": "https://h.example/a.tar""#,
                format!("the context `x` is an address (`https://h.example/a.tar`), and imk gives images only ({files})"),
            ),
            (
                r#""x": "cores""#,
                "the context `x` stands for `cores`, and no image here is named so (did you mean `core`? an image outside is \"docker-image://cores\", a folder goes into `overlays`)".to_owned(),
            ),
            (
                r#""x": "target:core""#,
                "`target:core` is how bake and compose name what they build (write the image's name alone: \"x\": \"core\")".to_owned(),
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
