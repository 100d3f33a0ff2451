//! The place of a repository at its forge: which software, which API, which project.

use crate::syntax::git_source::{self, Scheme};
use crate::syntax::serve::Forge;

/// A repository at a forge.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// The software.
    pub forge: Forge,
    /// The address of its API, without a `/` at the end.
    pub api: String,
    /// The repository's path, such as `team/app`.
    pub project: String,
    /// The address of the repository for people.
    pub page: String,
}

/// The place that git's address of a repository shows; `forge` and `api` are what somebody has said.
///
/// # Errors
/// A sentence, when the address does not show it.
pub fn place_of(address: &str, forge: Option<Forge>, api: Option<&str>) -> Result<Place, String> {
    let url = git_source::url(address)?;
    if url.scheme == Scheme::Local && api.is_none() {
        return Err("a repository on this machine is at no forge; `forge_api` names one".into());
    }
    let path = match url.scheme {
        Scheme::Local => url.address.trim_start_matches('/'),
        _ => url
            .shown
            .split_once("://")
            .and_then(|(_, rest)| rest.split_once('/'))
            .map_or("", |(_, path)| path),
    };
    let project = path.trim_matches('/').trim_end_matches(".git").trim_matches('/');
    // A path of this machine has folders before it; a forge's API knows the last two names.
    let project = match url.scheme {
        Scheme::Local => {
            let parts: Vec<&str> = project.split('/').collect();
            parts[parts.len().saturating_sub(2)..].join("/")
        }
        _ => project.to_owned(),
    };
    if project.split('/').count() < 2 {
        return Err("the address has no owner and name".into());
    }
    let known = match url.host.as_str() {
        "github.com" | "ssh.github.com" => Some(Forge::GitHub),
        "gitlab.com" => Some(Forge::GitLab),
        "bitbucket.org" => Some(Forge::Bitbucket),
        "codeberg.org" | "gitea.com" => Some(Forge::Gitea),
        host if host.starts_with("github.") => Some(Forge::GitHub),
        host if host.starts_with("gitlab.") => Some(Forge::GitLab),
        host if host.starts_with("gitea.") || host.starts_with("forgejo.") => Some(Forge::Gitea),
        _ => None,
    };
    let forge = forge.or(known).ok_or("its host does not show which forge it is; `forge` says it")?;
    // Ports of ssh are not those of the web.
    let authority =
        if matches!(url.scheme, Scheme::Https | Scheme::Http) { &url.authority } else { &url.host };
    let web = format!("{}://{authority}", if url.scheme == Scheme::Http { "http" } else { "https" });
    let usual = match forge {
        Forge::GitHub if url.host.ends_with("github.com") => "https://api.github.com".to_owned(),
        Forge::GitHub => format!("{web}/api/v3"),
        Forge::GitLab => format!("{web}/api/v4"),
        Forge::Gitea => format!("{web}/api/v1"),
        Forge::Bitbucket => "https://api.bitbucket.org/2.0".to_owned(),
    };
    let api = api.map_or(usual, |api| api.trim_end_matches('/').to_owned());
    let page = if url.scheme == Scheme::Local { api.clone() } else { format!("{web}/{project}") };
    Ok(Place { forge, api, project, page })
}

/// A text as a part of an address's path.
pub(super) fn encoded(text: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
    text.bytes()
        .map(|byte| if plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_address_shows_the_forge_or_somebody_says_it() {
        let at = |address: &str| place_of(address, None, None).map(|place| (place.api, place.project));
        for (address, api, project) in [
            ("https://github.com/team/app.git", "https://api.github.com", "team/app"),
            ("git@github.com:team/app.git", "https://api.github.com", "team/app"),
            ("https://me:secret@gitlab.com/a/b/c.git", "https://gitlab.com/api/v4", "a/b/c"),
            ("ssh://git@gitea.example:2222/team/app", "https://gitea.example/api/v1", "team/app"),
            ("https://codeberg.org/team/app/", "https://codeberg.org/api/v1", "team/app"),
            ("https://bitbucket.org/team/app", "https://api.bitbucket.org/2.0", "team/app"),
            ("https://github.example:8443/team/app", "https://github.example:8443/api/v3", "team/app"),
        ] {
            assert_eq!(at(address), Ok((api.to_owned(), project.to_owned())), "{address}");
        }
        assert!(at("https://git.example/team/app").unwrap_err().contains("`forge` says it"));
        assert!(at("/srv/git/app.git").unwrap_err().contains("forge_api"));
        assert!(at("https://github.com/app").is_err());
        let said =
            place_of("/srv/git/team/app.git", Some(Forge::Gitea), Some("http://127.0.0.1:3000/api/v1/"))
                .unwrap();
        assert_eq!((said.api.as_str(), said.project.as_str()), ("http://127.0.0.1:3000/api/v1", "team/app"));
    }
}
