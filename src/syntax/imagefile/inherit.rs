//! Variables, defaults and templates: from what is written to what is meant.
//!
//! An image's own keys win over its templates (the later template over the
//! earlier), and those over the defaults. Maps are merged key by key, all else
//! is replaced. Knows no Dockerfile and no disk.

use std::collections::{BTreeMap, BTreeSet};

use super::merge::merge;
use super::raw::{Pairs, RawFile, RawImage, RawTag, RawWhen};
use super::scope::Scope;
use super::settings::Settings;
use super::{Declaration, Imagefile, OverlaySource, Word};
use crate::syntax::braces::{self, Piece};
use crate::syntax::error::SyntaxError;
use crate::syntax::reference;
use crate::syntax::suggest::did_you_mean;
use crate::syntax::tag::{self, TagRule, Template, When};

/// A pattern, which may mean nothing today.
fn is_selector(word: &str) -> bool {
    word.contains(['*', '?', '[', '{'])
}

pub(super) fn inherit(
    raw: RawFile,
    overrides: &BTreeMap<String, String>,
    (settings, length): (&mut Settings<'_>, usize),
    errors: &mut Vec<SyntaxError>,
) -> Imagefile {
    let mut vars: BTreeMap<String, String> = BTreeMap::new();
    for (name, default) in &raw.vars {
        let value = overrides.get(&name.text).unwrap_or(&default.text);
        vars.insert(name.text.clone(), value.clone());
    }
    let mut scope = Scope { vars, errors };
    let templates: BTreeMap<&str, &RawImage> =
        raw.templates.iter().map(|(name, image)| (name.text.as_str(), image)).collect();

    let images = images(&raw, &templates, (settings, length), &mut scope);
    let names: BTreeSet<&str> = images.iter().map(|image| image.name.text.as_str()).collect();

    let mut groups = BTreeMap::new();
    for (name, members) in &raw.groups {
        if let Some(image) = images.iter().find(|image| image.name.text == name.text) {
            let message = format!("the group `{}` has the name of an image", image.name.text);
            scope.errors.push(SyntaxError::new(name.span, message));
        }
        groups.insert(name.text.clone(), scope.words(members));
    }
    let known: Vec<&str> = names.iter().copied().chain(groups.keys().map(String::as_str)).collect();
    for (group, members) in &groups {
        for member in members.iter().filter(|member| !is_selector(&member.text)) {
            let bare = member.text.trim_matches('+');
            if !known.contains(&bare) {
                let message =
                    format!("the group `{group}` has `{bare}`, which is neither an image nor a group");
                let near = did_you_mean(bare, known.iter().copied());
                let error = SyntaxError::new(member.span, message);
                let hint = near.unwrap_or_else(|| "`imk list` shows all images".into());
                scope.errors.push(error.hint(hint));
            }
        }
    }
    let declared = |(name, engine): &(Word, _)| Some((name.text.clone(), scope.engine(name, engine)?));
    let engines = raw.engines.iter().filter_map(declared).collect();
    Imagefile {
        vars: raw.vars.iter().map(|(name, _)| name.text.clone()).collect(),
        engines,
        prefix: raw.prefix.as_ref().map(|prefix| scope.fill(prefix).text).unwrap_or_default(),
        releases: raw.releases.as_ref().and_then(|at| scope.repository(at)),
        on_publish: scope.on_publish(&raw.on_publish),
        believes_registry: raw.receipts.as_ref().is_some_and(|word| scope.believes_registry(word)),
        content_tag: raw.content_tag.as_ref().map(|tag| scope.fill(tag).text),
        default: scope.words(&raw.default),
        groups,
        images,
        unmet_settings: settings.unmet(),
        renamed_keys: raw.renamed_keys,
    }
}

/// The declared images in the order of their names, each choice of a matrix being one.
fn images(
    raw: &RawFile,
    templates: &BTreeMap<&str, &RawImage>,
    (settings, length): (&mut Settings<'_>, usize),
    scope: &mut Scope<'_>,
) -> Vec<Declaration> {
    let mut members = Vec::new();
    for (name, own) in &raw.images {
        let mut merged = raw.defaults.clone();
        take_templates(own, templates, &mut merged, &mut BTreeSet::new(), scope.errors);
        merge(&mut merged, own);
        for (member, choice) in scope.members(name, &merged) {
            let mut merged = merged.clone();
            settings.over(&member.text, name.span.start, length, &mut merged);
            members.push((member, choice, own, merged));
        }
    }
    let names: BTreeSet<&str> = members.iter().map(|(name, ..)| name.text.as_str()).collect();
    let (mut images, mut seen) = (Vec::new(), BTreeSet::new());
    for (name, choice, own, merged) in &members {
        check_name(name, scope.errors);
        if !seen.insert(name.text.as_str()) {
            let error = SyntaxError::new(name.span, format!("two images are named `{}`", name.text));
            scope.errors.push(error.hint("one of them is made by a matrix"));
        }
        let own: BTreeSet<&str> = own.contexts.iter().map(|(name, _)| name.text.as_str()).collect();
        images.push(scope.with(choice, |scope| {
            let contexts = scope.contexts(name, &merged.contexts, &own, &names);
            Declaration { contexts, choice: choice.clone(), ..scope.declaration(name, merged.clone()) }
        }));
    }
    images.sort_by(|a, b| a.name.text.cmp(&b.name.text));
    images
}

/// Copies an image's templates into `merged`, a template's own templates first.
fn take_templates(
    image: &RawImage,
    templates: &BTreeMap<&str, &RawImage>,
    merged: &mut RawImage,
    taken: &mut BTreeSet<String>,
    errors: &mut Vec<SyntaxError>,
) {
    for name in &image.like {
        let Some(template) = templates.get(name.text.as_str()) else {
            let mut error = SyntaxError::new(name.span, format!("there is no template `{}`", name.text));
            error.hint = did_you_mean(&name.text, templates.keys().copied())
                .or_else(|| Some("declare it under `templates`".into()));
            errors.push(error);
            continue;
        };
        // Taking a template twice changes nothing, and a template that is like itself ends here.
        if taken.insert(name.text.clone()) {
            take_templates(template, templates, merged, taken, errors);
            merge(merged, template);
        }
    }
}

/// A name must be usable as a repository's name: the rule of the OCI distribution specification.
fn check_name(name: &Word, errors: &mut Vec<SyntaxError>) {
    if let Err(why) = crate::model::name::check_image(&name.text) {
        errors.push(SyntaxError::new(name.span, format!("`{}` cannot name an image: {why}", name.text)));
    }
}

impl Scope<'_> {
    fn declaration(&mut self, name: &Word, image: RawImage) -> Declaration {
        let dockerfile = image.dockerfile.map(|word| self.fill(&word)).and_then(|word| self.path(word));
        let (context, git) = match image.context.as_ref().and_then(|source| self.source(source)) {
            Some((span, OverlaySource::Path(text))) => (Some(Word { text, span }), None),
            Some((span, OverlaySource::Git(git))) => (Some(Word { text: git.shown(), span }), Some(git)),
            None => (None, None),
        };
        let context = context.unwrap_or_else(|| match &dockerfile {
            Some(file) => {
                let folder = file.text.rsplit_once('/').map_or("", |(folder, _)| folder);
                Word { text: folder.to_owned(), span: file.span }
            }
            // As bake and compose have it.
            None if image.dockerfile_inline.is_some() => Word { text: String::new(), span: name.span },
            // The folder `os/alp` of the image `os:alp`.
            None => Word { text: name.text.replace(':', "/"), span: name.span },
        });
        let (annotations, index_annotations) = self.annotations(&image.annotations);
        Declaration {
            name: name.clone(),
            choice: BTreeMap::new(),
            dockerfile,
            dockerfile_inline: image.dockerfile_inline.map(|word| word.text),
            context,
            git,
            overlays: self.overlays(&image.overlays),
            contexts: BTreeMap::new(),
            target: image.target.map(|word| self.fill(&word)),
            args: self.pairs(&image.args),
            platforms: self.platforms(image.platforms.as_deref().unwrap_or_default()),
            labels: self.pairs(&image.labels),
            tags: self.tags(name, image.tags.as_deref()),
            any_tag: image.any_tag.unwrap_or_default(),
            publish: image.publish.map(|gates| gates.iter().map(|when| self.when(when)).collect()),
            secrets: image.secrets.into_iter().map(|(id, source)| (id.text, source)).collect(),
            network: image.network.map(|word| self.fill(&word).text),
            upstream: image.upstream.unwrap_or_default(),
            engine_labels: self.words(&image.engine_labels.unwrap_or_default()),
            cache: self.caches(&image.cache_from.unwrap_or_default(), &image.cache_to.unwrap_or_default()),
            outputs: self.outputs(&image.output.unwrap_or_default()),
            ssh: self.ssh(&image.ssh.unwrap_or_default()),
            no_cache_filter: self.texts(&image.no_cache_filter.unwrap_or_default()),
            entitlements: self.entitlements(&image.entitlements.unwrap_or_default()),
            annotations,
            index_annotations,
            sandbox: self.sandbox(
                &image.extra_hosts,
                image.shm_size.as_ref(),
                &image.ulimits.unwrap_or_default(),
            ),
            run: self.profile(&image.run),
            tests: image.tests.iter().map(|(name, test)| (name.text.clone(), self.test(test))).collect(),
            description: image.description.map(|word| self.fill(&word).text),
        }
    }

    /// The tag in the image's name and those declared beside it; without either, `latest`.
    fn tags(&mut self, name: &Word, declared: Option<&[RawTag]>) -> Vec<TagRule> {
        let own = crate::model::name::split(&name.text).1;
        let always = if declared.is_none() { own.or(Some("latest")) } else { own };
        let always =
            always.map(|tag| TagRule { when: None, template: Template::plain(tag), span: name.span });
        let mut rules: Vec<TagRule> = always.into_iter().collect();
        for RawTag { text, when } in declared.unwrap_or_default() {
            let when = when.as_ref().map(|when| self.when(when));
            let known: Vec<&str> = self.vars.keys().map(String::as_str).collect();
            let variable = |name: &str| match (self.vars.get(name), name) {
                (None, tag::OWN) => own,
                (value, _) => value.map(String::as_str),
            };
            match Template::parse(&text.text, variable, &known) {
                Ok(template) if own.is_some() && template.is_time_alone() => {
                    let message = format!(
                        "other images share the repository of `{}`, and a bare `{{time}}` does not tell whose it is",
                        name.text
                    );
                    let hint = "write `{tag}-{time}`: `{tag}` is the tag in the image's name";
                    self.errors.push(SyntaxError::new(text.span, message).hint(hint));
                }
                Ok(template) => rules.push(TagRule { when, template, span: text.span }),
                Err(mistakes) => {
                    self.errors.extend(mistakes.into_iter().map(|(message, hint)| SyntaxError {
                        span: text.span,
                        message,
                        hint,
                    }));
                }
            }
        }
        rules
    }

    fn when(&mut self, when: &RawWhen) -> When {
        When {
            branch: when.branch.as_ref().map(|globs| self.globs(globs)),
            git_tag: when.git_tag.as_ref().map(|globs| self.globs(globs)),
        }
    }

    /// Says whether the receipts beside published images count.
    fn believes_registry(&mut self, word: &Word) -> bool {
        let word = self.fill(word);
        if !matches!(word.text.as_str(), "here" | "registry") {
            let message = format!("`{}` has no receipts", word.text);
            let hint = "\"here\" or \"registry\"";
            self.errors.push(SyntaxError::new(word.span, message).hint(hint));
        }
        word.text == "registry"
    }

    /// A repository of a registry, without a tag.
    fn repository(&mut self, word: &Word) -> Option<Word> {
        let word = self.fill(word);
        let why = match reference::parse(&word.text) {
            Err(why) => why,
            Ok(found) if found.tag.is_some() || found.digest.is_some() => "it has a tag".into(),
            Ok(_) => return Some(word),
        };
        let message = format!("`{}` is no repository of a registry: {why}", word.text);
        let hint = "write it as \"registry.example/team/releases\"";
        self.errors.push(SyntaxError::new(word.span, message).hint(hint));
        None
    }

    fn globs(&mut self, globs: &[Word]) -> Vec<String> {
        let globs = self.words(globs);
        for glob in &globs {
            if let Err(why) = tag::glob(glob.text.trim_start_matches('!')) {
                self.errors.push(SyntaxError::new(glob.span, format!("`{}` is no glob: {why}", glob.text)));
            }
        }
        globs.into_iter().map(|glob| glob.text).collect()
    }

    pub(super) fn words(&mut self, words: &[Word]) -> Vec<Word> {
        words.iter().map(|word| self.fill(word)).collect()
    }

    pub(super) fn pairs(&mut self, pairs: &Pairs<Word>) -> BTreeMap<String, String> {
        pairs.iter().map(|(key, value)| (key.text.clone(), self.fill(value).text)).collect()
    }

    /// Replaces `{NAME}` by the variable's value; `{{` and `}}` stand for braces.
    pub(super) fn fill(&mut self, word: &Word) -> Word {
        let mut text = String::new();
        for piece in braces::split(&word.text) {
            match piece {
                Piece::Text(piece) => text.push_str(piece),
                Piece::Name(name) => match self.vars.get(name) {
                    Some(value) => text.push_str(value),
                    None => {
                        let mut error = SyntaxError::new(word.span, format!("there is no variable `{name}`"));
                        error.hint = Some(match did_you_mean(name, self.vars.keys().map(String::as_str)) {
                            Some(near) => near,
                            None if tag::is_fact(name) => {
                                format!(
                                    "`{{{name}}}` stands in tags only: it makes no difference to an image"
                                )
                            }
                            None => format!("declare it: vars: {{\"{name}\": \"…\"}}"),
                        });
                        self.errors.push(error);
                    }
                },
                Piece::Lone(brace) => {
                    let error = SyntaxError::new(word.span, format!("a lone `{brace}`"));
                    self.errors.push(error.hint(format!("write `{brace}{brace}` for the character itself")));
                }
            }
        }
        Word { text, span: word.span }
    }

    /// A path below the Imagefile's folder, cleaned; one that leads out of it is a mistake.
    pub(super) fn path(&mut self, word: Word) -> Option<Word> {
        match crate::model::name::clean_path(&word.text) {
            Some(text) => Some(Word { text, span: word.span }),
            None => {
                let message = format!("`{}` leads out of the Imagefile's folder", word.text);
                let hint = "paths start at the Imagefile's folder; move the Imagefile up to reach more";
                self.errors.push(SyntaxError::new(word.span, message).hint(hint));
                None
            }
        }
    }
}
