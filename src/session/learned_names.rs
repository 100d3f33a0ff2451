//! The names that a repository has for its own images, learned from what its Dockerfiles name.
//!
//! Where references end in folders' names under one prefix (`acme/core` beside `core/`), that is the prefix; where they
//! differ by tag as sub-folders do (`acme/os:alpine` beside `os/alpine/`), the folders are images of one
//! repository. A guess, to be looked at by a person: it is proposed and written down, never acted upon. Opens no file.

use std::collections::{BTreeMap, BTreeSet};

use crate::model::name;
use crate::source::recipe_name::variant;
use crate::syntax::named_images::{NamedImage, named};

/// A recipe of the repository, as it was discovered.
#[derive(Clone, Debug)]
pub struct Recipe {
    /// Its path.
    pub path: String,
    /// The name that discovery gives its image.
    pub name: String,
    /// Its text.
    pub text: String,
}

/// Names that were learned.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Learned {
    /// Put before the names; empty where there is none.
    pub prefix: String,
    /// The name of each recipe, in their order.
    pub names: Vec<String>,
    /// The images of which any tag is meant, by name.
    pub any_tag: BTreeSet<String>,
    /// How many images are built on another one here by these names, and not by those that discovery gives.
    pub users: usize,
}

/// One way to name a recipe's image.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Form {
    repository: String,
    /// The rest of its path, where that is the tag.
    tag: Option<String>,
}

/// Learns from all recipes of a repository.
pub fn learn(recipes: &[Recipe]) -> Learned {
    let uses: Vec<BTreeSet<NamedImage>> = recipes.iter().map(|recipe| named(&recipe.text)).collect();
    let forms: Vec<Vec<Form>> = recipes.iter().map(forms).collect();
    let prefix = prefix(&uses, &forms);
    let mut names: Vec<String> = recipes.iter().map(|recipe| recipe.name.clone()).collect();
    let mut any_tag = BTreeSet::new();
    let mut users = BTreeSet::new();
    let mut by_tag = BTreeSet::new();
    for (user, images) in uses.iter().enumerate() {
        for image in images {
            let under = image.name.strip_prefix(prefix.as_str()).filter(|_| !prefix.is_empty());
            let found = under.and_then(|rest| meant(&forms, user, rest, image));
            if let Some((at, form)) = found {
                users.insert(user);
                if form.tag.is_some() {
                    by_tag.insert(form.repository.clone());
                }
                names[at] = whole(&form);
                if form.tag.is_none() && image.open {
                    any_tag.insert(at);
                }
            } else if image.open
                && let Some(at) = recipes.iter().position(|recipe| recipe.name == image.name)
            {
                any_tag.insert(at);
            }
        }
    }
    // Who stands beside a folder that is named by its tag is named so too.
    for (at, forms) in forms.iter().enumerate() {
        let sibling = forms.iter().find(|form| form.tag.is_some() && by_tag.contains(&form.repository));
        if let Some(form) = sibling.filter(|_| names[at] == recipes[at].name) {
            names[at] = whole(form);
        }
    }
    let mut seen = BTreeMap::new();
    names.iter().for_each(|name| *seen.entry(name.clone()).or_insert(0) += 1);
    for (name, recipe) in names.iter_mut().zip(recipes) {
        if seen[name] > 1 {
            name.clone_from(&recipe.name);
        }
    }
    let any_tag = any_tag.into_iter().map(|at: usize| names[at].clone()).collect();
    Learned { prefix, names, any_tag, users: users.len() }
}

fn whole(form: &Form) -> String {
    match &form.tag {
        Some(tag) => format!("{}:{tag}", form.repository),
        None => form.repository.clone(),
    }
}

/// The prefix under which most recipes are named by others; empty if none is.
fn prefix(uses: &[BTreeSet<NamedImage>], forms: &[Vec<Form>]) -> String {
    let mut named: BTreeMap<&str, BTreeSet<usize>> = BTreeMap::new();
    for (user, images) in uses.iter().enumerate() {
        for image in images {
            for (slash, _) in image.name.match_indices('/') {
                let (prefix, rest) = image.name.split_at(slash + 1);
                if let Some((at, _)) = meant(forms, user, rest, image) {
                    named.entry(prefix).or_default().insert(at);
                }
            }
        }
    }
    let best = named.into_iter().max_by_key(|(prefix, recipes)| (recipes.len(), prefix.len()));
    best.map(|(prefix, _)| prefix.to_owned()).unwrap_or_default()
}

/// The recipe that a name without its prefix means in the Dockerfile of another one. A tag that says more than `latest`
/// must be shown by the path, or be left to a variable.
fn meant(forms: &[Vec<Form>], user: usize, rest: &str, image: &NamedImage) -> Option<(usize, Form)> {
    let others = || forms.iter().enumerate().filter(|(at, _)| *at != user);
    let plain = image.open || image.tag == "latest";
    let is = |form: &&Form| match &form.tag {
        Some(tag) => form.repository == rest && *tag == image.tag,
        None => form.repository == rest && plain,
    };
    others().find_map(|(at, forms)| Some((at, forms.iter().find(is)?.clone())))
}

/// The ways to name a recipe's image: as discovery does, by its folder, by its whole path, and by each cut of that
/// into repository and tag.
fn forms(recipe: &Recipe) -> Vec<Form> {
    let (folder, file) = recipe.path.rsplit_once('/').unwrap_or(("", &recipe.path));
    let variant = variant(file).unwrap_or_default();
    let mut parts: Vec<&str> = folder.split('/').filter(|part| !part.is_empty()).collect();
    let mut plain = vec![recipe.name.clone()];
    if variant.is_empty() {
        plain.extend(parts.last().map(|last| (*last).to_owned()));
        plain.push(parts.join("/"));
    } else {
        parts.push(variant);
    }
    let plain = plain.into_iter().map(|repository| Form { repository, tag: None });
    let cuts = (1..parts.len())
        .map(|cut| Form { repository: parts[cut - 1].to_owned(), tag: Some(parts[cut..].join("-")) });
    let valid = |form: &Form| name::check_image(&whole(form)).is_ok();
    plain.chain(cuts).filter(valid).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Recipes as `path: FROM …; FROM …`; what is learned as `prefix`, names, names of any tag, and users.
    fn learned(recipes: &str) -> String {
        let recipes: Vec<Recipe> = recipes
            .lines()
            .map(str::trim)
            .filter(|line| !line.is_empty())
            .map(|line| {
                let (path, text) = line.split_once(": ").unwrap();
                (path.to_owned(), text.replace("; ", "\n") + "\n")
            })
            .map(|(path, text)| {
                let names = crate::session::discovered_names::of(std::slice::from_ref(&path), "root");
                Recipe { path, name: names[0].clone(), text }
            })
            .collect();
        let learned = learn(&recipes);
        let any: Vec<String> = learned.any_tag.into_iter().collect();
        format!("{} [{}] any [{}] {}", learned.prefix, learned.names.join(" "), any.join(" "), learned.users)
    }

    #[test]
    fn a_prefix_is_learned_from_references_that_end_in_folders_names() {
        for (recipes, wanted) in [
            (
                "core/Dockerfile: FROM alpine
                 web/Dockerfile: FROM acme/core
                 app/Dockerfile: FROM acme/web:latest; COPY --from=acme/core /a /b",
                "acme/ [core web app] any [] 2",
            ),
            (
                "images/core/Dockerfile: FROM alpine
                 images/web/Dockerfile: FROM r.example:5000/team/core",
                "r.example:5000/team/ [core web] any [] 1",
            ),
            // The one that names most.
            (
                "a/Dockerfile: FROM x
                 b/Dockerfile: FROM acme/a
                 c/Dockerfile: FROM acme/b
                 d/Dockerfile: FROM other/a",
                "acme/ [a b c d] any [] 2",
            ),
            // A version of somebody else's image of that name is none of ours.
            ("python/Dockerfile: FROM x\nweb/Dockerfile: FROM circleci/python:3.7", " [python web] any [] 0"),
            ("python/Dockerfile: FROM x\nweb/Dockerfile: FROM python:3.7", " [python web] any [] 0"),
            // An image is never its own base.
            ("nginx/Dockerfile: FROM acme/nginx", " [nginx] any [] 0"),
            // Names that discovery finds already need nothing.
            ("core/Dockerfile: FROM x\nweb/Dockerfile: FROM core", " [core web] any [] 0"),
            // A whole path under the prefix.
            ("base/os/Dockerfile: FROM x\nweb/Dockerfile: FROM acme/base/os", "acme/base/ [os web] any [] 1"),
        ] {
            assert_eq!(learned(recipes), wanted, "{recipes}");
        }
    }

    #[test]
    fn folders_that_differ_as_tags_do_are_images_of_one_repository() {
        for (recipes, wanted) in [
            (
                "os/alpine/Dockerfile: FROM alpine
                 os/debian/Dockerfile: FROM debian
                 web/Dockerfile: FROM acme/os:alpine",
                "acme/ [os:alpine os:debian web] any [] 1",
            ),
            (
                "php/8.3/fpm/Dockerfile: FROM x
                 php/8.3/cli/Dockerfile: FROM x
                 web/Dockerfile: FROM acme/php:8.3-fpm",
                "acme/ [php:8.3-fpm php:8.3-cli web] any [] 1",
            ),
            (
                "os/Dockerfile.alpine: FROM x
                 os/Dockerfile.debian: FROM x
                 web/Dockerfile: FROM acme/os:alpine",
                "acme/ [os:alpine os:debian web] any [] 1",
            ),
            // Without a prefix the official one is meant.
            ("python/3.12/Dockerfile: FROM x\nweb/Dockerfile: FROM python:3.12", " [3.12 web] any [] 0"),
        ] {
            assert_eq!(learned(recipes), wanted, "{recipes}");
        }
    }

    #[test]
    fn a_version_that_a_variable_holds_means_any_tag() {
        for (recipes, wanted) in [
            (
                "shared/Dockerfile: FROM x\nweb/Dockerfile: ARG V=1.2; FROM acme/shared:${V}",
                "acme/ [shared web] any [shared] 1",
            ),
            (
                "shared/Dockerfile: FROM x\nweb/Dockerfile: ARG V; FROM shared:${V}",
                " [shared web] any [shared] 0",
            ),
            ("shared/Dockerfile: FROM x\nweb/Dockerfile: FROM shared:1.2", " [shared web] any [] 0"),
        ] {
            assert_eq!(learned(recipes), wanted, "{recipes}");
        }
    }
}
