//! The mark on an image that bears the name of its own base: which image the base was.
//!
//! Once such a result is tagged, the name leads to it, and only the mark tells it from the base when
//! all state is lost. A label like the key's: it counts for nothing. Knows no engine.

use super::name;

/// The label that holds the mark.
pub const LABEL: &str = "imk.own-bases";

/// A base whose name its user bears.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OwnBase {
    /// The reference in full.
    pub reference: String,
    /// The platform it was used for.
    pub platform: String,
    /// Which image it was.
    pub exact: Exact,
}

/// Which image a base was.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Exact {
    /// Its id on the engine.
    Id(String),
    /// The digest of its platform's manifest.
    Digest(String),
}

/// The text of the mark.
pub fn write(bases: &[OwnBase]) -> String {
    let line = |base: &OwnBase| {
        let (kind, exact) = match &base.exact {
            Exact::Id(id) => ("id", id),
            Exact::Digest(digest) => ("digest", digest),
        };
        format!("{} {} {kind} {exact}", base.reference, base.platform)
    };
    bases.iter().map(line).collect::<Vec<_>>().join(", ")
}

/// The bases that a mark tells; what is none of its entries is passed over.
pub fn read(text: &str) -> Vec<OwnBase> {
    let entry = |text: &str| {
        let mut words = text.split(' ');
        let (reference, platform) = (words.next()?.to_owned(), words.next()?.to_owned());
        let exact = match (words.next()?, words.next()?, words.next()) {
            ("id", id, None) => Exact::Id(id.to_owned()),
            ("digest", digest, None) => Exact::Digest(digest.to_owned()),
            _ => return None,
        };
        Some(OwnBase { reference, platform, exact })
    };
    text.split(", ").filter_map(entry).collect()
}

/// Whether an image with this mark is a result that bears the name of a reference, in full: its tag does not matter.
pub fn bears(text: &str, reference: &str) -> bool {
    let repository = name::split(reference).0;
    read(text).iter().any(|base| name::split(&base.reference).0 == repository)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mark_is_read_as_it_was_written() {
        let base = |reference: &str, exact| OwnBase {
            reference: reference.to_owned(),
            platform: "linux/amd64".to_owned(),
            exact,
        };
        for bases in [
            vec![],
            vec![base("docker.io/library/nginx:latest", Exact::Id("sha256:a".into()))],
            vec![
                base("localhost:5000/a/b:1", Exact::Digest("sha256:b".into())),
                base("docker.io/library/nginx:alpine", Exact::Id("sha256:c".into())),
            ],
        ] {
            assert_eq!(read(&write(&bases)), bases);
        }
        for nonsense in ["", "x", "a b c d", "a b id", "a b id c d", ", ,"] {
            assert_eq!(read(nonsense), [], "{nonsense}");
        }
    }

    #[test]
    fn a_result_bears_the_name_whatever_the_tag() {
        let text = "docker.io/library/nginx:alpine linux/amd64 id sha256:a, localhost:5000/x:1 linux/arm64 digest sha256:b";
        for (reference, wanted) in [
            ("docker.io/library/nginx:latest", true),
            ("docker.io/library/nginx:alpine", true),
            ("docker.io/library/web:latest", false),
            ("docker.io/acme/nginx:latest", false),
            ("localhost:5000/x:2", true),
            ("localhost:5001/x:1", false),
        ] {
            assert_eq!(bears(text, reference), wanted, "{reference}");
        }
    }
}
