//! Flags and words of docker, compose and make that imk does otherwise, each with imk's way.
//!
//! What means the same in imk is in `typed`. Knows neither flags that imk has nor images.

/// A flag that imk has no place for, and the way in which imk does it.
#[derive(Debug, PartialEq, Eq)]
pub struct Untranslatable {
    /// The mistake.
    pub message: String,
    /// The way to go.
    pub hint: String,
}

/// Flags of docker's `build` and of make, without dashes, and imk's ways.
const FLAGS: &[(&str, &str)] = &[
    ("label", "`labels: {\"NAME\": \"VALUE\"}` of an image, or of `defaults`, in Imagefile.ron"),
    ("secret", "`secrets: {\"ID\": Env(\"VARIABLE\")}` or `File(\"PATH\")` of an image in Imagefile.ron"),
    ("network", "`network: \"host\"` of an image in Imagefile.ron"),
    ("check", "`imk lint` tells what docker's checks find, and more; `imk plan` tells mistakes"),
    ("rm", "nothing is left behind by a build: leave it out"),
    ("force-rm", "nothing is left behind by a build: leave it out"),
    ("builder", "`--engine NAME` is a docker context or the address of an engine"),
    ("attest", "imk attaches what went into an image when it publishes it; leave it out"),
    ("provenance", "imk attaches what went into an image when it publishes it; leave it out"),
    ("sbom", "imk attaches what went into an image when it publishes it; leave it out"),
    ("no-cache-filter", "`--no-cache IMAGE` builds one image without the engine's cache"),
    ("assume-new", "`imk what-if FILE` says what a change of a file would build"),
    ("W", "`imk what-if FILE` says what a change of a file would build"),
    ("just-print", "`imk -n` says what would be built"),
    ("silent", "`imk -s` is silent"),
    (
        "touch",
        "results go by content: `imk -B` builds what is fresh, and nothing makes fresh what was not built",
    ),
];

/// Words that stand where an image is named, and imk's ways.
const WORDS: &[(&str, &str)] = &[
    ("all", "`imk` alone builds everything"),
    ("bake", "`imk import` makes an Imagefile of a bake file; `imk` alone builds its default group"),
    ("compose", "`imk import` makes an Imagefile of a compose file; `imk run IMAGE` runs an image"),
    ("up", "`imk run IMAGE` brings an image up to date and runs it"),
    ("exec", "`docker exec` runs a command in a container; `imk run IMAGE COMMAND` in a new one"),
    ("ps", "`docker ps` lists containers, `imk list` images"),
    ("images", "`imk list` lists the images"),
    ("rmi", "`imk gc` removes images that nothing reaches"),
    ("prune", "`imk gc` removes what nothing reaches"),
    ("tag", "`tags: [\"1.2\"]` of an image in Imagefile.ron; `imk tags` lists them"),
    ("login", "`docker login` keeps the login that imk uses too"),
    ("history", "`imk log IMAGE` lists builds"),
    ("inspect", "`imk inputs IMAGE` lists everything that counts"),
    ("version", "`imk --version` says it"),
];

/// The way in which imk does what a flag says elsewhere; `typed` is the word with the flag.
pub fn flag(name: &str, typed: &str) -> Option<Untranslatable> {
    match name {
        "tag" | "t" => Some(Untranslatable {
            message: format!("imk has no `{typed}`: an image has its name and its tags from the Imagefile"),
            hint: "`tags: [\"1.2\"]` of an image there; `imk push -t` gives one for once".to_owned(),
        }),
        _ => {
            let (_, way) = FLAGS.iter().find(|(flag, _)| *flag == name)?;
            Some(Untranslatable { message: format!("imk has no `{typed}`"), hint: (*way).to_owned() })
        }
    }
}

/// The way in which imk does what a word says elsewhere.
pub fn word(typed: &str) -> Option<&'static str> {
    WORDS.iter().find(|(word, _)| *word == typed).map(|(_, way)| *way)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_imk_has_itself_is_translated_by_nobody() {
        for (name, typed) in [("jobs", "--jobs"), ("build-context", "--build-context")] {
            assert_eq!(flag(name, typed), None);
        }
    }
}
