//! Which files are recipes by their name, and what the name tells them apart by.
//!
//! A recipe is called `Dockerfile` or `Containerfile`, with something behind it after a dot, a dash or
//! an underscore, or before it with a dot. A template or program that makes one is none. Opens no file.

/// How recipes are called.
const WORDS: [&str; 2] = ["Dockerfile", "Containerfile"];

/// Ends of the names of what makes recipes, tells of them or was left behind by a tool. Languages that an image is
/// often named after (`Dockerfile.go`, `Dockerfile.php`) are not among them.
const NO_RECIPES: &[&str] = &[
    // Templates.
    "ejs",
    "em",
    "epp",
    "erb",
    "ftl",
    "gotmpl",
    "gotpl",
    "handlebars",
    "hbs",
    "in",
    "j2",
    "jinja",
    "jinja2",
    "jsonnet",
    "liquid",
    "m4",
    "mako",
    "mo",
    "mustache",
    "njk",
    "template",
    "tera",
    "tmpl",
    "tpl",
    "twig",
    // Programs.
    "bash",
    "bat",
    "cjs",
    "cmd",
    "fish",
    "js",
    "lua",
    "mjs",
    "pl",
    "ps1",
    "py",
    "rb",
    "sh",
    "ts",
    "zsh",
    // Texts and data.
    "adoc",
    "csv",
    "html",
    "json",
    "lock",
    "log",
    "md",
    "rst",
    "toml",
    "txt",
    "xml",
    "yaml",
    "yml",
    // Companions and leftovers.
    "bak",
    "diff",
    "dockerignore",
    "orig",
    "patch",
    "rej",
    "swo",
    "swp",
];

/// Is this the name of a recipe?
pub fn is_recipe(name: &str) -> bool {
    variant(name).is_some()
}

/// The word that tells a recipe from others of its folder: `dev` of `Dockerfile.dev`, `Dockerfile-dev` and
/// `dev.dockerfile`, nothing for a plain one. `None` when this is no recipe's name.
pub fn variant(name: &str) -> Option<&str> {
    let lower = name.to_ascii_lowercase();
    let last = lower.rsplit_once('.').map_or("", |(_, last)| last);
    if NO_RECIPES.contains(&last) || lower.ends_with('~') {
        return None;
    }
    WORDS.iter().find_map(|word| {
        if name == *word {
            return Some("");
        }
        let behind = name.strip_prefix(word).and_then(|rest| rest.strip_prefix(['.', '-', '_']));
        let before = || {
            let at = lower.strip_suffix(&word.to_ascii_lowercase())?.len();
            name[..at].strip_suffix('.')
        };
        behind.or_else(before).filter(|variant| !variant.is_empty())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_recipes() {
        for (name, expected) in [
            ("Dockerfile", ""),
            ("Containerfile", ""),
            ("Dockerfile.dev", "dev"),
            ("Dockerfile-test", "test"),
            ("Dockerfile_test", "test"),
            ("Dockerfile.go", "go"),
            ("Containerfile.1.2", "1.2"),
            ("web.Dockerfile", "web"),
            ("a.b.Containerfile", "a.b"),
            ("x.dockerfile", "x"),
            ("X.DOCKERFILE", "X"),
            ("é.dockerfile", "é"),
        ] {
            assert_eq!(variant(name), Some(expected), "{name}");
        }
    }

    #[test]
    fn templates_programs_and_leftovers_are_no_recipes() {
        for name in [
            "Dockerfile.in",
            "Dockerfile.tmpl",
            "Dockerfile.template",
            "Dockerfile.j2",
            "Dockerfile.JINJA2",
            "Dockerfile.em",
            "Dockerfile.erb",
            "Dockerfile-alpine.erb",
            "Dockerfile.py",
            "Dockerfile.sh",
            "Dockerfile.dev.md",
            "Dockerfile.orig",
            "Dockerfile.dockerignore",
            "Dockerfile-dev.dockerignore",
            "Dockerfile~",
            "Dockerfile.dev~",
            "x.dockerfile.j2",
            "dockerfile.rs",
            "Dockerfile.",
            "Dockerfile-",
            ".Dockerfile",
            "MyDockerfile",
            "Dockerfiles",
        ] {
            assert_eq!(variant(name), None, "{name}");
        }
    }
}
