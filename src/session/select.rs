//! Which images the words on a command line mean.
//!
//! One syntax for every verb: a name, a glob, a group, `+api` (with all it is
//! built on), `api+` (with all that is built on it). Knows names and edges only.

use std::collections::{BTreeMap, BTreeSet};

use globset::GlobBuilder;

use crate::model::name::{declared, for_platform};
use crate::syntax::glob::is_within;
use crate::syntax::resolve::platform;
use crate::syntax::suggest::did_you_mean;

/// A word that means no image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unknown {
    /// The word.
    pub word: String,
    /// The word that may have been meant.
    pub hint: Option<String>,
}

/// Names, groups and edges of a repository.
pub struct Names<'a> {
    /// Every image.
    pub images: &'a BTreeSet<String>,
    /// Groups and their members, which are words again.
    pub groups: &'a BTreeMap<String, Vec<String>>,
    /// The bases of each image inside the repository.
    pub bases: &'a BTreeMap<String, BTreeSet<String>>,
}

/// The images that `words` mean together.
///
/// # Errors
/// Every word that means none.
pub fn select(words: &[String], names: &Names<'_>) -> Result<BTreeSet<String>, Vec<Unknown>> {
    let mut selected = BTreeSet::new();
    let mut unknown = Vec::new();
    for word in words {
        let with_bases = word.starts_with('+');
        let with_users = word.ends_with('+') && word.len() > 1;
        let bare = word.trim_start_matches('+').trim_end_matches('+');
        let mut found = BTreeSet::new();
        let mut lost = Vec::new();
        if !meaning(bare, names, &mut found, &mut BTreeSet::new(), &mut lost) {
            lost.push(bare.to_owned());
        }
        unknown.extend(lost.into_iter().map(|word| {
            let known = names.images.iter().chain(names.groups.keys()).map(String::as_str);
            let hint = did_you_mean(&word, known);
            Unknown { word, hint }
        }));
        let named = found.clone();
        if with_bases {
            close(&mut found, |name| names.bases.get(name).cloned().unwrap_or_default());
        }
        if with_users {
            let mut users = named;
            close(&mut users, |name| {
                let users = names.bases.iter().filter(|(_, bases)| bases.contains(name));
                users.map(|(user, _)| user.clone()).collect()
            });
            found.extend(users);
        }
        selected.extend(found);
    }
    if unknown.is_empty() { Ok(selected) } else { Err(unknown) }
}

/// Adds what one word means; false when that is nothing. `seen` ends groups that hold themselves, and
/// `lost` gets their members that mean nothing.
fn meaning(
    word: &str,
    names: &Names<'_>,
    found: &mut BTreeSet<String>,
    seen: &mut BTreeSet<String>,
    lost: &mut Vec<String>,
) -> bool {
    if names.images.contains(word) {
        found.insert(word.to_owned());
        return true;
    }
    if let Some(members) = names.groups.get(word) {
        if seen.insert(word.to_owned()) {
            for member in members {
                if !meaning(member, names, found, seen, lost) {
                    lost.push(member.clone());
                }
            }
        }
        return true;
    }
    if let Some((name, one)) = word.split_once('@')
        && let Ok(one) = platform::asked(one)
        && names.images.contains(&for_platform(name, &one))
    {
        found.insert(for_platform(name, &one));
        return true;
    }
    let Ok(glob) = GlobBuilder::new(word).build() else { return false };
    let glob = glob.compile_matcher();
    let before = found.len();
    let fits = |name: &&String| glob.is_match(name) || glob.is_match(declared(name));
    let matching: Vec<_> = names.images.iter().filter(fits).cloned().collect();
    let any = !matching.is_empty();
    found.extend(matching);
    any || found.len() > before
}

/// An image as paths can name it.
pub struct Lying<'a> {
    /// Its name.
    pub name: &'a str,
    /// Its Dockerfile.
    pub dockerfile: &'a str,
    /// The folder of its context.
    pub context: &'a str,
}

/// The words with paths replaced by the images that they mean, as docker's users name what they build: a
/// Dockerfile, or a folder with all that lies in it. Paths begin at `here`, below the repository's root.
pub fn with_paths(words: &[String], here: &str, images: &[Lying<'_>]) -> Vec<String> {
    let mut out = Vec::new();
    for word in words {
        let is_folder = matches!(word.as_str(), "." | "..")
            || word.starts_with("./")
            || word.starts_with("../")
            || (word.ends_with('/') && word.len() > 1);
        let is_name = images.iter().any(|image| image.name == word);
        let path = if is_name { None } else { below(here, word) };
        let before = out.len();
        for image in images {
            let Some(path) = &path else { break };
            let folder = image.dockerfile.rsplit_once('/').map_or("", |(folder, _)| folder);
            let lies_there = |place: &str| path.is_empty() || is_within(place, path);
            if image.dockerfile == path || is_folder && (lies_there(folder) || lies_there(image.context)) {
                out.push(image.name.to_owned());
            }
        }
        if out.len() == before {
            out.push(word.clone());
        }
    }
    out
}

/// A path as typed in a folder of the repository; `None` when it leads out of it.
fn below(here: &str, typed: &str) -> Option<String> {
    let mut parts: Vec<&str> = here.split('/').filter(|part| !part.is_empty()).collect();
    for part in typed.split('/') {
        match part {
            "" | "." => {}
            ".." => drop(parts.pop()?),
            part => parts.push(part),
        }
    }
    Some(parts.join("/"))
}

fn close(found: &mut BTreeSet<String>, next: impl Fn(&str) -> BTreeSet<String>) {
    let mut todo: Vec<String> = found.iter().cloned().collect();
    while let Some(name) = todo.pop() {
        for other in next(&name) {
            if found.insert(other.clone()) {
                todo.push(other);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_mean_the_images_that_lie_there() {
        let image = |name, dockerfile, context| Lying { name, dockerfile, context };
        let images = [
            image("api", "svc/api/Dockerfile", "svc/api"),
            image("web", "svc/web/Dockerfile", ""),
            image("top", "Dockerfile.top", ""),
        ];
        let meant = |word: &str, here: &str| with_paths(&[word.to_owned()], here, &images).join(" ");
        assert_eq!(meant(".", ""), "api web top");
        assert_eq!(meant(".", "svc"), "api web");
        assert_eq!(meant("./api", "svc"), "api");
        assert_eq!(meant("svc/api/", ""), "api");
        assert_eq!(meant("svc/web/Dockerfile", ""), "web");
        assert_eq!(meant("../web/Dockerfile", "svc/api"), "web");
        assert_eq!(meant("../../..", "svc"), "../../..");
        assert_eq!(meant("api", ""), "api");
        assert_eq!(meant("./nothing", ""), "./nothing");
    }

    #[track_caller]
    fn check(words: &str, expected: &str) {
        let set = |text: &str| text.split_whitespace().map(str::to_owned).collect::<BTreeSet<_>>();
        let bases = BTreeMap::from([
            ("base".into(), set("")),
            ("svc-a".into(), set("base")),
            ("svc-b".into(), set("base")),
            ("web".into(), set("svc-a")),
        ]);
        let groups = BTreeMap::from([
            ("all-svc".into(), vec!["svc-*".into()]),
            ("loop".into(), vec!["loop".into(), "web".into()]),
            ("apps".into(), vec!["wbe".into(), "svc-a".into()]),
        ]);
        let images = bases.keys().cloned().collect();
        let names = Names { images: &images, groups: &groups, bases: &bases };
        let words: Vec<String> = words.split_whitespace().map(str::to_owned).collect();
        let found = match select(&words, &names) {
            Ok(found) => found.into_iter().collect::<Vec<_>>().join(" "),
            Err(unknown) => format!("{unknown:?}"),
        };
        assert_eq!(found, expected);
    }

    #[test]
    fn words_mean_images() {
        check("web", "web");
        check("svc-*", "svc-a svc-b");
        check("all-svc", "svc-a svc-b");
        check("+web", "base svc-a web");
        check("svc-a+", "svc-a web");
        check("base+", "base svc-a svc-b web");
        check("+svc-a+", "base svc-a web");
        check("loop base", "base web");
    }

    #[test]
    fn a_word_that_means_nothing_is_told_with_what_is_near() {
        check("wbe", "[Unknown { word: \"wbe\", hint: Some(\"did you mean `web`?\") }]");
        check("apps", "[Unknown { word: \"wbe\", hint: Some(\"did you mean `web`?\") }]");
        check("zzz*", "[Unknown { word: \"zzz*\", hint: None }]");
    }
}
