//! Sources of `COPY` and `ADD`: a path of a context, a URL, or a git repository.
//!
//! Follows `dispatchCopy`, `ParseGitRef` and `system.NormalizePath`.

use super::Remote;
use crate::syntax::error::Span;
use crate::syntax::glob;
use crate::syntax::patterns::clean;
use crate::syntax::reads::ReadSource;

/// The kind of a source word.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kind {
    Path,
    Http,
    Git,
}

/// Reads the kind off the word.
pub fn kind(source: &str) -> Kind {
    // `./`, `../` and `github.com/` are paths, whatever follows.
    if ["./", "../", "github.com/"].iter().any(|prefix| source.starts_with(prefix)) {
        return Kind::Path;
    }
    if let Some((scheme, rest)) = source.split_once("://")
        && !scheme.is_empty()
        && scheme.bytes().all(|b| b.is_ascii_alphanumeric())
    {
        return match scheme.to_ascii_lowercase().as_str() {
            "ssh" | "git" => Kind::Git,
            // Over HTTP only a path that ends with `.git` is a repository.
            "http" | "https" if url_path(rest).ends_with(".git") => Kind::Git,
            "http" | "https" if source.starts_with("http://") || source.starts_with("https://") => Kind::Http,
            _ => Kind::Path,
        };
    }
    if is_scp_like(source) { Kind::Git } else { Kind::Path }
}

fn url_path(rest: &str) -> &str {
    let end = rest.find(['?', '#']).unwrap_or(rest.len());
    rest[..end].find('/').map_or("", |slash| &rest[slash..end])
}

/// `user@host:path`
fn is_scp_like(source: &str) -> bool {
    let Some((user, rest)) = source.split_once('@') else { return false };
    let Some((host, _)) = rest.split_once(':') else { return false };
    let word = |text: &str, more: &[u8]| {
        !text.is_empty() && text.bytes().all(|b| b.is_ascii_alphanumeric() || more.contains(&b))
    };
    word(user, b"-_") && word(host, b"-.") && !source.contains('\n')
}

/// A remote source with what its URL says of the checksum (`?checksum=`, `?commit=`).
pub fn remote(
    url: &str,
    git: bool,
    checksum: Option<String>,
    keep_git_dir: Option<bool>,
    span: Span,
) -> Remote {
    let query = url.split('#').next().and_then(|before| before.split_once('?')).map(|(_, query)| query);
    let mut in_url =
        query.into_iter().flat_map(|query| query.split('&')).filter_map(|pair| pair.split_once('='));
    let in_url = in_url.find(|(key, _)| matches!(*key, "checksum" | "commit")).filter(|_| git);
    let checksum = checksum.filter(|sum| !sum.is_empty()).or_else(|| in_url.map(|(_, sum)| sum.to_owned()));
    Remote { url: url.to_owned(), git, checksum, keep_git_dir, span }
}

/// Relative to the root of the context; nothing above it can be named.
pub fn normalize(source: &str) -> String {
    clean(&format!("/{source}")).trim_start_matches('/').to_owned()
}

/// The read of a path of a context. An empty word is the whole context.
pub fn read(source: &str, exclude: &[String], parents: bool, span: Span) -> ReadSource {
    let (source, include) = match parents {
        false => (source, None),
        true => {
            let (root, pattern) = pivot(source);
            (root, Some(normalize(pattern)))
        }
    };
    let pattern = normalize(source);
    let wildcard = glob::has_wildcards(&pattern);
    let required = match &include {
        // A wildcard that finds nothing copies nothing (`AllowEmptyWildcard`).
        None => !wildcard && !pattern.is_empty(),
        // `COPY --parents .` is required to find something and never does.
        Some(include) => !wildcard && !glob::has_wildcards(include),
    };
    ReadSource { required, pattern, wildcard, exclude: exclude.to_vec(), include, span }
}

/// A source of `COPY --parents`: the folder that paths are kept from, and the pattern of what is copied of it.
pub fn pivot(source: &str) -> (&str, &str) {
    source.split_once("/./").unwrap_or(("", source))
}

/// The whole of a context, where a word depends on something unknown.
pub fn whole(span: Span) -> ReadSource {
    ReadSource {
        pattern: String::new(),
        wildcard: false,
        exclude: Vec::new(),
        include: None,
        required: false,
        span,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_is_a_path_a_url_or_a_repository() {
        for (source, wanted) in [
            ("src", Kind::Path),
            ("./git@x:y", Kind::Path),
            ("github.com/a/b", Kind::Path),
            ("http://x/y", Kind::Http),
            ("https://x/y.tar.gz?z=.git", Kind::Http),
            ("https://x/y.git", Kind::Git),
            ("https://x/y.git#main:dir", Kind::Git),
            ("https://x/y.git?ref=v1", Kind::Git),
            ("https://x.git", Kind::Http),
            ("git://x/y", Kind::Git),
            ("ssh://git@x/y", Kind::Git),
            ("git@github.com:a/b.git", Kind::Git),
            ("git@github.com:a/b.git#v1", Kind::Git),
            ("a b@c:d", Kind::Path),
            ("@x:y", Kind::Path),
            ("ftp://x/y", Kind::Path),
            ("HTTPS://x/y.git", Kind::Git),
        ] {
            assert_eq!(kind(source), wanted, "{source}");
        }
    }

    #[test]
    fn sources_are_relative_to_the_context() {
        for (source, wanted) in [
            ("", ""),
            (".", ""),
            ("/", ""),
            ("./", ""),
            ("..", ""),
            ("../../a", "a"),
            ("/a/", "a"),
            ("a//b/./c/../d", "a/b/d"),
            ("a/*/", "a/*"),
        ] {
            assert_eq!(normalize(source), wanted, "{source}");
        }
    }

    #[test]
    fn parents_and_their_pivot() {
        let source = read("a/./b/*.c", &["*.o".into(), "!keep.o".into()], true, Span::default());
        assert_eq!((source.pattern.as_str(), source.include.as_deref()), ("a", Some("b/*.c")));
        assert_eq!(source.exclude, ["*.o", "!keep.o"]);
        assert!(!source.required && !source.wildcard);
        assert_eq!((source.shown().as_str(), source.start().as_str()), ("a/./b/*.c", "a/b"));
        let named = read("a/b", &[], true, Span::default());
        assert!(named.required && named.pattern.is_empty() && named.start() == "a/b");
        let wild = read("a*/./b", &[], true, Span::default());
        assert!(!wild.required && wild.wildcard && wild.start().is_empty());
    }
}
