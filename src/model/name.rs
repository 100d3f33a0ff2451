//! Names and paths as imk accepts them: of images, of tags, of files in a repository.
//!
//! Plain texts with a check rather than types of their own: they come from
//! people and go to engines, and both speak text.

use super::hash::ContentHash;

/// Checks that `name` can be a repository's name, by the rule of the OCI
/// distribution specification: lower-case letters and digits, separated by
/// `.`, `_`, `__`, dashes or `/`.
///
/// # Errors
/// What is wrong with it, as the end of a sentence.
pub fn check(name: &str) -> Result<(), &'static str> {
    if name.is_empty() {
        return Err("it is empty");
    }
    if name.len() > 200 {
        return Err("it is longer than 200 characters");
    }
    if name.chars().any(|c| c.is_ascii_uppercase()) {
        return Err("registries take lower-case names only");
    }
    if name.split('/').all(is_path_component) {
        return Ok(());
    }
    Err("use lower-case letters and digits, with `.`, `_`, `-` or `/` between them")
}

fn is_path_component(part: &str) -> bool {
    let alphanumeric = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    let ends_well = part.starts_with(alphanumeric) && part.ends_with(alphanumeric);
    let separators = part.split(alphanumeric).filter(|separator| !separator.is_empty());
    ends_well
        && separators
            .into_iter()
            .all(|separator| matches!(separator, "." | "_" | "__") || separator.chars().all(|c| c == '-'))
}

/// The repository and the tag of an image's name: `os` and `alp` of `os:alp`, and no tag of `team/os`.
///
/// ```
/// use imk::model::name::split;
///
/// assert_eq!(split("os:alp"), ("os", Some("alp")));
/// // A colon before a slash belongs to a registry's port.
/// assert_eq!(split("host:5000/os"), ("host:5000/os", None));
/// ```
pub fn split(name: &str) -> (&str, Option<&str>) {
    let name = declared(name);
    let last = name.rfind('/').map_or(0, |slash| slash + 1);
    match name[last..].find(':') {
        Some(colon) => (&name[..last + colon], Some(&name[last + colon + 1..])),
        None => (name, None),
    }
}

/// The name of one of the images that a declared name has for several platforms.
///
/// ```
/// use imk::model::name::{declared, for_platform, platform_of};
///
/// let name = for_platform("team/web", "linux/arm64");
/// assert_eq!(name, "team/web@linux/arm64");
/// assert_eq!((declared(&name), platform_of(&name)), ("team/web", Some("linux/arm64")));
/// assert_eq!((declared("web"), platform_of("web")), ("web", None));
/// ```
pub fn for_platform(declared: &str, platform: &str) -> String {
    format!("{declared}@{platform}")
}

/// An image's name as it is declared, whatever the platform.
pub fn declared(name: &str) -> &str {
    name.split_once('@').map_or(name, |(declared, _)| declared)
}

/// The platform in an image's name, where its declared name has several.
pub fn platform_of(name: &str) -> Option<&str> {
    name.split_once('@').map(|(_, platform)| platform)
}

/// Checks that `name` can name an image here: a repository's name, and a tag where several images share that.
///
/// # Errors
/// What is wrong with it, as the end of a sentence.
pub fn check_image(name: &str) -> Result<(), &'static str> {
    let (repository, tag) = split(name);
    check(repository)?;
    tag.map_or(Ok(()), check_tag)
}

/// An image's name as that of one file: no two names have the same, and none is longer than a file's
/// name can be.
pub fn file_name(name: &str) -> String {
    let escaped = name.replace('%', "%25").replace('/', "%2F").replace(':', "%3A");
    if escaped.len() <= LONGEST_FILE {
        return escaped;
    }
    let hash = ContentHash::of(name.as_bytes()).to_string();
    // A cut may part an escape: the hash tells names apart, and `%%` begins no escape.
    let head: String = escaped.chars().take(LONGEST_FILE / 2).collect();
    format!("{head}%%{hash}")
}

/// Bytes of a file's name that are not cut; most file systems take 255, and an ending comes behind.
const LONGEST_FILE: usize = 200;

/// Checks that `tag` can be a tag: up to 128 of letters, digits, `_`, `.` and `-`, not starting with `.` or `-`.
///
/// # Errors
/// What is wrong with it, as the end of a sentence.
pub fn check_tag(tag: &str) -> Result<(), &'static str> {
    let word = |c: char| c.is_ascii_alphanumeric() || c == '_';
    if tag.len() > 128 {
        return Err("it is longer than 128 characters");
    }
    if tag.starts_with(word) && tag.chars().all(|c| word(c) || c == '.' || c == '-') {
        return Ok(());
    }
    Err("use letters, digits, `_`, `.` and `-`, beginning with none of the last two")
}

/// The nearest valid image name to a folder's or file's name: lower case, with
/// a dash for what cannot stand in a name. Empty when nothing is left.
pub fn from_path(path: &str) -> String {
    let mut name = String::new();
    for c in path.to_lowercase().chars() {
        let c = if c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '.' | '_') { c } else { '-' };
        let separator = |c: char| matches!(c, '-' | '.' | '_');
        // One separator at a time keeps every result valid.
        if !(separator(c) && name.ends_with(separator)) {
            name.push(c);
        }
    }
    name.trim_matches(['-', '.', '_']).to_owned()
}

/// A path below a root with `.`, empty parts and inner `..` taken out, `""` for
/// the root. `None` when it is absolute or leads out of the root.
///
/// ```
/// use imk::model::name::clean_path;
///
/// assert_eq!(clean_path("a/./b/../c/").as_deref(), Some("a/c"));
/// assert_eq!(clean_path("a/../../b"), None);
/// ```
pub fn clean_path(path: &str) -> Option<String> {
    if path.starts_with('/') {
        return None;
    }
    let mut parts: Vec<&str> = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop()?;
            }
            part => parts.push(part),
        }
    }
    Some(parts.join("/"))
}

/// Joins two cleaned paths.
pub fn join(folder: &str, path: &str) -> String {
    match (folder, path) {
        ("", path) => path.to_owned(),
        (folder, "") => folder.to_owned(),
        (folder, path) => format!("{folder}/{path}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_follow_the_distribution_rule() {
        for good in ["a", "app1-dev", "team/api", "a.b", "a__b", "a---b", "0"] {
            assert_eq!(check(good), Ok(()), "{good}");
        }
        for bad in ["", "A", "-a", "a-", "a..b", "a___b", "a/", "/a", "a b", "a:b", "é"] {
            assert!(check(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn an_image_is_named_by_repository_and_perhaps_a_tag() {
        for (name, parts) in [
            ("os", ("os", None)),
            ("os:alp", ("os", Some("alp"))),
            ("team/os:3.12-slim_X", ("team/os", Some("3.12-slim_X"))),
            ("host:5000/os", ("host:5000/os", None)),
        ] {
            assert_eq!(split(name), parts, "{name}");
        }
        for good in ["os", "os:alp", "team/os:3.12-slim_X", "a:A"] {
            assert_eq!(check_image(good), Ok(()), "{good}");
        }
        for bad in ["os:", ":alp", "os:-a", "os:a:b", "OS:alp", "host:5000/os", "os:a/b", "os:é"] {
            assert!(check_image(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn no_two_images_have_one_file() {
        assert_eq!(file_name("team/os:alp"), "team%2Fos%3Aalp");
        assert_eq!(file_name("web"), "web");
        let long = "a/".repeat(99);
        let names = ["a/b", "a:b", "a-b", "a%2Fb", "a%3Ab", "a%b", "a/b:c", "a:b/c"].map(str::to_owned);
        let names = names.into_iter().chain([format!("{long}a"), format!("{long}b"), format!("{long}a:b")]);
        let files: Vec<String> = names.map(|name| file_name(&name)).collect();
        let different: std::collections::BTreeSet<&String> = files.iter().collect();
        assert_eq!(different.len(), files.len(), "{files:?}");
        assert!(files.iter().all(|file| file.len() <= 240 && !file.contains('/')), "{files:?}");
    }

    #[test]
    fn tags_follow_the_distribution_rule() {
        for good in ["latest", "1.0", "_x", "A-b.c"] {
            assert_eq!(check_tag(good), Ok(()), "{good}");
        }
        for bad in ["", "-a", ".a", "a/b", "a:b", &"x".repeat(129)] {
            assert!(check_tag(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn any_folder_name_becomes_a_valid_name_or_nothing() {
        for (path, name) in
            [("api", "api"), ("My App", "my-app"), ("a/b", "a-b"), ("_x_", "x"), ("a._b", "a.b"), ("é", "")]
        {
            assert_eq!(from_path(path), name);
            assert!(name.is_empty() || check(name).is_ok());
        }
    }

    #[test]
    fn paths_are_cleaned_and_stay_inside() {
        for (path, clean) in [
            ("a/./b//c", Some("a/b/c")),
            ("", Some("")),
            (".", Some("")),
            ("a/../b", Some("b")),
            ("..", None),
            ("a/../..", None),
            ("/etc", None),
        ] {
            assert_eq!(clean_path(path).as_deref(), clean, "{path}");
        }
    }
}
