//! The prefix of a source's images, and a name and tags for each.
//!
//! imk tags an image with its prefix, its name and a tag, and finds edges by those names; so an image is
//! named after the repository that the source tags it with, as far as that can be, and by its tag too
//! where several share the repository. Whatever gets another name is told.

use std::collections::{BTreeMap, BTreeSet};

use super::draft::{Draft, fill, literal, names_in};
use super::{Note, NoteKind};
use crate::model::name;

/// A reference of a source in two halves; both are written texts.
struct Reference {
    repository: String,
    tag: String,
}

/// The names of a source's images.
pub(super) struct Naming {
    /// A written text.
    pub prefix: String,
    /// In the order of the images.
    pub names: Vec<String>,
    /// The bearer of each tag of a repository that several share, by the whole reference.
    bearers: BTreeMap<String, String>,
}

impl Naming {
    /// Names all images.
    pub fn of(images: &[Draft], vars: &BTreeMap<String, String>, notes: &mut Vec<Note>) -> Self {
        let prefix = common_prefix(images, vars);
        let mut bearers = BTreeMap::new();
        let wanted = wanted_names(images, &prefix, vars, &mut bearers);
        let mut names: Vec<String> = Vec::new();
        let mut taken: BTreeSet<String> = wanted.iter().flatten().cloned().collect();
        for (draft, wanted) in images.iter().zip(wanted) {
            let own = match name::check(&draft.name) {
                Ok(()) => draft.name.clone(),
                Err(_) => name::from_path(&draft.name),
            };
            let own = if own.is_empty() { "image".to_owned() } else { own };
            let name = wanted.unwrap_or_else(|| free(own, &taken));
            if name != draft.name {
                let text = format!("`{}` is named `{name}`", draft.name);
                notes.push(Note { span: draft.span, kind: NoteKind::Changed, text });
            }
            taken.insert(name.clone());
            names.push(name);
        }
        Self { prefix, names, bearers }
    }

    /// The tags of the references that have the image's own repository, less the one in its name; others are told.
    pub fn tags(
        &self,
        draft: &Draft,
        name: &str,
        vars: &BTreeMap<String, String>,
        notes: &mut Vec<Note>,
    ) -> Vec<String> {
        let (repository, in_name) = name::split(name);
        let own = format!("{}{repository}", fill(&self.prefix, vars));
        // Images of one repository must be told apart by their tags.
        let mut tags = match in_name {
            Some(_) => Vec::new(),
            None => draft.tag_templates.clone(),
        };
        for (written, span) in &draft.references {
            let shown = fill(written, vars);
            let found = reference(written, vars).filter(|found| fill(&found.repository, vars) == own);
            let found = found.filter(|found| name::check_tag(&fill(&found.tag, vars)).is_ok());
            let whole = |found: &Reference| format!("{own}:{}", fill(&found.tag, vars));
            let other =
                |found: &Reference| self.bearers.get(&whole(found)).filter(|bearer| **bearer != draft.name);
            match found {
                Some(found) if other(&found).is_some() => {
                    let bearer = other(&found).map_or("", String::as_str);
                    let text = format!("the tag `{shown}` of `{name}`: `{bearer}` has it already");
                    notes.push(Note { span: *span, kind: NoteKind::Lost, text });
                }
                Some(found)
                    if in_name == Some(fill(&found.tag, vars).as_str()) || tags.contains(&found.tag) => {}
                Some(found) => tags.push(found.tag),
                None => {
                    let text = format!("the tag `{shown}` of `{name}`: imk tags it `{own}:TAG`");
                    notes.push(Note { span: *span, kind: NoteKind::Lost, text });
                }
            }
        }
        if in_name.is_none() && tags == ["latest"] { Vec::new() } else { tags }
    }
}

/// Splits a written reference; what has a digest has no tag to give.
fn reference(written: &str, vars: &BTreeMap<String, String>) -> Option<Reference> {
    if fill(written, vars).contains('@') {
        return None;
    }
    let split = |written: &str| {
        let at = written.rfind('/').map_or(0, |slash| slash + 1);
        match written[at..].split_once(':') {
            Some((name, tag)) => (format!("{}{name}", &written[..at]), tag.to_owned()),
            None => (written.to_owned(), "latest".to_owned()),
        }
    };
    let (repository, tag) = split(written);
    let filled = split(&fill(written, vars));
    // A variable that holds a colon or a slash would be split elsewhere once it is filled in.
    let same = (fill(&repository, vars), fill(&tag, vars)) == filled;
    let plain = || Reference { repository: literal(&filled.0), tag: literal(&filled.1) };
    Some(if same { Reference { repository, tag } } else { plain() })
}

/// The places where a repository can be cut into prefix and name: after each
/// slash, and after a variable whose value ends with one or is empty.
fn cuts(repository: &str, vars: &BTreeMap<String, String>) -> Vec<usize> {
    let ends = repository.char_indices().filter(|(_, c)| matches!(c, '/' | '}')).map(|(at, _)| at + 1);
    let good = |at: &usize| {
        let before = fill(&repository[..*at], vars);
        before.ends_with('/') || before.is_empty()
    };
    ends.filter(good).filter(|at| *at < repository.len()).collect()
}

/// The beginning, up to a cut, that most repositories share: the longest of those.
/// None unless it is more than half of them.
fn common_prefix(images: &[Draft], vars: &BTreeMap<String, String>) -> String {
    let first_of = |draft: &Draft| reference(&draft.references.first()?.0, vars).map(|r| r.repository);
    let repositories: Vec<String> = images.iter().filter_map(first_of).collect();
    let mut users: BTreeMap<&str, usize> = BTreeMap::new();
    for repository in &repositories {
        for at in cuts(repository, vars) {
            *users.entry(&repository[..at]).or_default() += 1;
        }
    }
    let best = users.into_iter().max_by_key(|(prefix, users)| (*users, prefix.len()));
    let best = best.filter(|(_, users)| users * 2 > repositories.len());
    best.map(|(prefix, _)| prefix.to_owned()).unwrap_or_default()
}

/// The name that each image's first reference asks for; `None` where that cannot be one.
fn wanted_names(
    images: &[Draft],
    prefix: &str,
    vars: &BTreeMap<String, String>,
    bearers: &mut BTreeMap<String, String>,
) -> Vec<Option<String>> {
    let of_repository = |draft: &Draft| {
        let repository = reference(&draft.references.first()?.0, vars)?.repository;
        Some(fill(repository.strip_prefix(prefix)?, vars)).filter(|name| name::check(name).is_ok())
    };
    let repositories: Vec<Option<String>> = images.iter().map(of_repository).collect();
    let shared = |name: &String| repositories.iter().flatten().filter(|other| *other == name).count() > 1;
    let filled_prefix = fill(prefix, vars);
    // Tags that one target has of another's are first of all that other's.
    let is_own = |at: &usize| repositories[*at].as_deref().is_some_and(|name| is_called(name, &images[*at]));
    let (own, others): (Vec<usize>, Vec<usize>) = (0..images.len()).partition(is_own);
    let mut wanted = vec![None; images.len()];
    for at in own.into_iter().chain(others) {
        let Some(repository) = &repositories[at] else { continue };
        wanted[at] = match shared(repository) {
            false => Some(repository.clone()),
            true => by_tag(&images[at], repository, &format!("{filled_prefix}{repository}"), vars, bearers),
        };
    }
    wanted
}

/// Whether the source calls an image as its repository is called.
fn is_called(repository: &str, draft: &Draft) -> bool {
    repository.rsplit('/').next() == Some(draft.name.as_str())
}

/// A name by repository and tag for an image that shares its repository with others. The tag is one without
/// variables, since names have none, else what the source calls the image. `None` when the others have all its tags.
fn by_tag(
    draft: &Draft,
    repository: &str,
    whole: &str,
    vars: &BTreeMap<String, String>,
    bearers: &mut BTreeMap<String, String>,
) -> Option<String> {
    let references = draft.references.iter().filter_map(|(written, _)| reference(written, vars));
    let of_it = references.filter(|found| fill(&found.repository, vars) == whole);
    let valid = of_it.filter(|found| name::check_tag(&fill(&found.tag, vars)).is_ok());
    let free: Vec<String> = valid
        .map(|found| found.tag)
        .filter(|tag| !bearers.contains_key(&format!("{whole}:{}", fill(tag, vars))))
        .collect();
    for tag in &free {
        bearers.insert(format!("{whole}:{}", fill(tag, vars)), draft.name.clone());
    }
    if free.is_empty() {
        return None;
    }
    if free.iter().all(|tag| tag == "latest") {
        return Some(repository.to_owned());
    }
    let fixed = free.iter().find(|tag| names_in(tag).is_empty() && *tag != "latest");
    let tag = match fixed {
        Some(tag) => fill(tag, vars),
        None => {
            let own = format!("{whole}:{}", draft.name);
            if name::check_tag(&draft.name).is_err() || bearers.contains_key(&own) {
                return None;
            }
            bearers.insert(own, draft.name.clone());
            draft.name.clone()
        }
    };
    Some(format!("{repository}:{tag}"))
}

/// The name, or the first of `name-2`, `name-3` … that nobody has.
fn free(name: String, taken: &BTreeSet<String>) -> String {
    if !taken.contains(&name) {
        return name;
    }
    let numbered = (2..).map(|number| format!("{name}-{number}"));
    numbered.into_iter().find(|other| !taken.contains(other)).unwrap_or(name)
}
