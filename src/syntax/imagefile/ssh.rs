//! `ssh`: agents and keys for `RUN --mount=type=ssh`, as docker build and bake spell them.
//!
//! Knows the words; looks for no agent and opens no key.

use std::collections::BTreeMap;

use super::Word;
use super::scope::Scope;
use crate::syntax::error::SyntaxError;

/// A mistake, and the remedy.
type Mistake = (String, String);

/// An id, and the sockets or keys behind it: `default`, `ID=SOCKET`, `ID=KEY,KEY`. None means the
/// caller's own agent.
///
/// # Errors
/// What is wrong with it, and what to do.
pub fn ssh(text: &str) -> Result<(String, Vec<String>), Mistake> {
    let (id, paths) = text.split_once('=').unwrap_or((text, ""));
    let hint = || {
        "write \"default\" for the agent of SSH_AUTH_SOCK, or \"ID=PATH\" for a socket or a key".to_owned()
    };
    let plain = |c: char| c.is_ascii_alphanumeric() || "._-/:@".contains(c);
    if id.is_empty() || !id.chars().all(plain) {
        return Err((format!("`{text}` has no id that RUN --mount=type=ssh,id=… could name"), hint()));
    }
    let paths: Vec<String> = paths.split(',').filter(|path| !path.is_empty()).map(str::to_owned).collect();
    if text.ends_with('=') {
        return Err((format!("`{text}` names neither a socket nor a key"), hint()));
    }
    Ok((id.to_owned(), paths))
}

impl Scope<'_> {
    pub(super) fn ssh(&mut self, words: &[Word]) -> BTreeMap<String, Vec<String>> {
        let mut all = BTreeMap::new();
        for word in self.words(words) {
            match ssh(&word.text) {
                Ok((id, paths)) => drop(all.insert(id, paths)),
                Err((message, hint)) => self.errors.push(SyntaxError::new(word.span, message).hint(hint)),
            }
        }
        all
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn agents_and_keys_have_ids() {
        let some = |id: &str, paths: &[&str]| {
            Ok((id.to_owned(), paths.iter().map(|path| (*path).to_owned()).collect()))
        };
        assert_eq!(ssh("default"), some("default", &[]));
        assert_eq!(ssh("git=/run/a.sock"), some("git", &["/run/a.sock"]));
        assert_eq!(ssh("git=~/.ssh/a,keys/b"), some("git", &["~/.ssh/a", "keys/b"]));
        for wrong in ["", "=x", "a b", "x="] {
            assert!(ssh(wrong).is_err(), "{wrong}");
        }
    }
}
