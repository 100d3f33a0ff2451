//! How images are called that no Imagefile names: after where their recipe is.
//!
//! An image is named after its recipe's folder, the root's after the repository; `Dockerfile.dev` and
//! `dev.Dockerfile` add `-dev`. Where several would have one name, all of them take a longer one: the whole path
//! with dashes for slashes, then with its slashes, then with the recipe's own name, and at last numbers. So every recipe has a
//! name, and none stands in the way of others. Opens no file.

use std::collections::{BTreeMap, BTreeSet};

use crate::model::name;
use crate::source::recipe_name::variant;

/// The name of each of these recipes of a repository whose folder is called `root`.
pub fn of(paths: &[String], root: &str) -> Vec<String> {
    let root = Some(name::from_path(root)).filter(|name| !name.is_empty());
    let root = root.unwrap_or_else(|| "image".to_owned());
    let all: Vec<Vec<String>> = paths.iter().map(|path| candidates(path, &root)).collect();
    let mut chosen = vec![0; paths.len()];
    loop {
        let mut users: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
        for (at, names) in all.iter().enumerate() {
            users.entry(&names[chosen[at]]).or_default().push(at);
        }
        let shared = users.into_values().filter(|users| users.len() > 1).flatten();
        let longer: Vec<usize> = shared.filter(|at| chosen[*at] + 1 < all[*at].len()).collect();
        if longer.is_empty() {
            break;
        }
        longer.into_iter().for_each(|at| chosen[at] += 1);
    }
    let wanted: Vec<&String> = all.iter().zip(&chosen).map(|(names, at)| &names[*at]).collect();
    let mut taken: BTreeSet<String> = wanted.iter().map(|name| (*name).clone()).collect();
    let mut met = BTreeSet::new();
    let mut names = Vec::new();
    for name in wanted {
        if met.insert(name.clone()) {
            names.push(name.clone());
            continue;
        }
        let mut numbered = (2_u32..).map(|number| format!("{name}-{number}"));
        let free = numbered.find(|name| !taken.contains(name)).unwrap_or_else(|| name.clone());
        taken.insert(free.clone());
        names.push(free);
    }
    names
}

/// The names that a recipe can have, the short one first; all of them are valid, and there is one at least.
fn candidates(path: &str, root: &str) -> Vec<String> {
    let (folder, file) = path.rsplit_once('/').unwrap_or(("", path));
    let variant = variant(file).unwrap_or(file);
    let whole = if folder.is_empty() { root } else { folder };
    let last = whole.rsplit('/').next().unwrap_or(whole);
    let with = |base: &str, variant: &str| {
        if variant.is_empty() { base.to_owned() } else { format!("{base}-{variant}") }
    };
    // Each part by itself, so that its slashes stay.
    let parts = |path: &str| path.split('/').map(name::from_path).collect::<Vec<_>>().join("/");
    let names = [
        name::from_path(&with(last, variant)),
        name::from_path(&with(whole, variant)),
        parts(&with(whole, variant)),
        parts(&with(whole, file)),
    ];
    let mut names: Vec<String> = names.into_iter().filter(|name| name::check(name).is_ok()).collect();
    if names.is_empty() {
        names.push("image".to_owned());
    }
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(paths: &str, expected: &str) {
        let paths: Vec<String> = paths.split_whitespace().map(str::to_owned).collect();
        let names = of(&paths, "My Repo");
        names.iter().for_each(|name| assert_eq!(name::check(name), Ok(()), "{name}"));
        assert_eq!(names.iter().collect::<BTreeSet<_>>().len(), paths.len(), "{names:?}");
        assert_eq!(names.join(" "), expected);
    }

    #[test]
    fn images_are_named_after_their_folder() {
        check("api/Dockerfile", "api");
        check("Dockerfile", "my-repo");
        check("services/Web/Containerfile", "web");
        check("Dockerfile.dev", "my-repo-dev");
        check("api/dev.Dockerfile", "api-dev");
        check("api/Dockerfile-test api/Dockerfile", "api-test api");
        check("docker/a.dockerfile docker/b.dockerfile", "docker-a docker-b");
    }

    #[test]
    fn several_of_one_name_take_longer_ones() {
        check("a/api/Dockerfile b/api/Dockerfile", "a-api b-api");
        check("a-b/Dockerfile a/b/Dockerfile c/b/Dockerfile", "a-b a/b c-b");
        check("x/Dockerfile.dev x/dev.Dockerfile", "x-dockerfile.dev x-dev.dockerfile");
        check("x/Dockerfile x/Containerfile y/Dockerfile", "x-dockerfile x-containerfile y");
        check("Dockerfile Containerfile", "my-repo-dockerfile my-repo-containerfile");
    }

    #[test]
    fn those_that_no_longer_name_tells_apart_are_numbered() {
        check("Foo/Dockerfile foo/Dockerfile", "foo-dockerfile foo-dockerfile-2");
        check("é/Dockerfile ü/Dockerfile a/Dockerfile", "dockerfile dockerfile-2 a");
        check("dockerfile-2/Dockerfile é/Dockerfile ü/Dockerfile", "dockerfile-2 dockerfile dockerfile-3");
    }

    #[test]
    fn a_name_is_never_too_long() {
        let deep = vec!["folder"; 60].join("/");
        let paths =
            vec![format!("{deep}/a/Dockerfile"), format!("{deep}/b/a/Dockerfile"), "a/Dockerfile".into()];
        assert_eq!(of(&paths, "x"), ["a", "a-2", "a-dockerfile"]);
    }
}
