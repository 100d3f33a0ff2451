//! The forge that a request says it is from.
//!
//! Gitea and Forgejo send GitHub's headers as well, for whoever knows no others, so GitHub is asked last.

use super::headers::Headers;

/// A kind of forge, with its headers and its form of a payload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Forge {
    /// Forgejo, and Codeberg which is one.
    Forgejo,
    /// Gitea and Gogs.
    Gitea,
    /// GitLab.
    GitLab,
    /// Bitbucket, in the cloud and in a data center.
    Bitbucket,
    /// GitHub.
    GitHub,
    /// None that is known: a script that signs as GitHub does, with GitHub's form of a push.
    Unknown,
}

impl Forge {
    /// The forge by its headers.
    pub fn of(headers: &Headers) -> Self {
        let by_header = [
            ("x-forgejo-event", Self::Forgejo),
            ("x-gitea-event", Self::Gitea),
            ("x-gogs-event", Self::Gitea),
            ("x-gitlab-event", Self::GitLab),
            ("x-event-key", Self::Bitbucket),
            ("x-github-event", Self::GitHub),
        ];
        by_header.into_iter().find(|(name, _)| headers.has(name)).map_or(Self::Unknown, |(_, forge)| forge)
    }

    /// The event that the headers name.
    pub(super) fn event(self, headers: &Headers) -> Option<&str> {
        match self {
            Self::Forgejo => headers.one("x-forgejo-event"),
            Self::Gitea => headers.one("x-gitea-event").or_else(|| headers.one("x-gogs-event")),
            Self::GitLab => headers.one("x-gitlab-event"),
            Self::Bitbucket => headers.one("x-event-key"),
            Self::GitHub => headers.one("x-github-event"),
            Self::Unknown => Some("push"),
        }
    }

    /// Headers that are hexadecimal digits and nothing else.
    pub(super) fn bare_signatures(self) -> &'static [&'static str] {
        match self {
            Self::Forgejo | Self::Gitea => &["x-forgejo-signature", "x-gitea-signature", "x-gogs-signature"],
            _ => &[],
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_forge_that_sends_githubs_headers_too_is_known_by_its_own() {
        let of =
            |names: &[&str]| Forge::of(&Headers::new(names.iter().map(|name| (*name, b"push".as_slice()))));
        assert_eq!(
            of(&["X-GitHub-Event", "X-Gogs-Event", "X-Gitea-Event", "X-Forgejo-Event"]),
            Forge::Forgejo
        );
        assert_eq!(of(&["X-GitHub-Event", "X-Gogs-Event", "X-Gitea-Event"]), Forge::Gitea);
        assert_eq!(of(&["X-GitHub-Event"]), Forge::GitHub);
        assert_eq!(of(&["X-Event-Key"]), Forge::Bitbucket);
        assert_eq!(of(&["X-Gitlab-Event"]), Forge::GitLab);
        assert_eq!(of(&["X-Hub-Signature"]), Forge::Unknown);
    }
}
