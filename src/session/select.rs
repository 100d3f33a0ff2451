//! Which images the words on a command line mean.
//!
//! One syntax for every verb: a name, a glob, a group, `+api` (with all it is
//! built on), `api+` (with all that is built on it). Knows names and edges only.

use std::collections::{BTreeMap, BTreeSet};

use globset::GlobBuilder;

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
    let Ok(glob) = GlobBuilder::new(word).build() else { return false };
    let glob = glob.compile_matcher();
    let before = found.len();
    let matching: Vec<_> = names.images.iter().filter(|name| glob.is_match(name)).cloned().collect();
    let any = !matching.is_empty();
    found.extend(matching);
    any || found.len() > before
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
