//! Which user and secret a host is offered, from addresses and variables.
//!
//! A token goes to the host it was made for and to no other, so that an address
//! somebody slips into an Imagefile cannot ask for it:
//!
//! | variable | host |
//! |---|---|
//! | `IMK_GIT_TOKEN_HOST`, such as `IMK_GIT_TOKEN_GIT_EXAMPLE_COM` | `git.example.com` |
//! | a dash is two underscores: `IMK_GIT_TOKEN_MY__GIT_EXAMPLE_COM` | `my-git.example.com` |
//! | `GH_TOKEN`, `GITHUB_TOKEN` | `github.com` |
//! | `GITLAB_TOKEN` | `gitlab.com`, and `CI_SERVER_HOST` |
//! | `CI_JOB_TOKEN` | `CI_SERVER_HOST` |
//!
//! No two host names have one variable: a dot is one underscore and a dash two, and no name has
//! two dots side by side, or a dash beside a dot. Over plain http nothing is sent but to this machine itself.
//! What is not found here is left to git: its helpers, the ssh agent, keys. Knows no process and no disk.

use std::fmt;

use crate::syntax::git_source::{GitUrl, Scheme};

/// A credential for a host.
#[derive(Clone, PartialEq, Eq)]
pub struct Credential {
    /// The user, as the host wants it for this kind of secret.
    pub user: String,
    /// A token or password.
    pub secret: String,
    /// Where it is from: a variable's name, or the address.
    pub from: String,
}

impl fmt::Debug for Credential {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Credential(from {})", self.from)
    }
}

/// The credentials to try, in order, before git is left to itself.
pub fn credentials(url: &GitUrl, variable: &dyn Fn(&str) -> Option<String>) -> Vec<Credential> {
    if !matches!(url.scheme, Scheme::Https | Scheme::Http) {
        return Vec::new();
    }
    let mut found = Vec::new();
    if url.scheme == Scheme::Http && !is_this_machine(&url.host) {
        return found;
    }
    if let Some((user, secret)) = &url.user {
        let (user, secret) = (user.clone(), secret.clone());
        found.push(Credential { user, secret, from: "the address".into() });
    }
    let own = variable_of(&url.host);
    let mut names: Vec<&str> = own.iter().map(String::as_str).collect();
    let ci = variable("CI_SERVER_HOST").is_some_and(|host| host.eq_ignore_ascii_case(&url.host));
    if url.scheme == Scheme::Https {
        match url.host.as_str() {
            "github.com" => names.extend(["GH_TOKEN", "GITHUB_TOKEN"]),
            "gitlab.com" => names.push("GITLAB_TOKEN"),
            _ if ci => names.push("GITLAB_TOKEN"),
            _ => {}
        }
        if ci {
            names.push("CI_JOB_TOKEN");
        }
    }
    let set = names.into_iter().find_map(|name| Some((name, variable(name).filter(|it| !it.is_empty())?)));
    found.extend(set.map(|(name, secret)| {
        let user = match name {
            "CI_JOB_TOKEN" => "gitlab-ci-token",
            "GITLAB_TOKEN" => "oauth2",
            _ => user_of(&url.host),
        };
        Credential { user: user.to_owned(), secret, from: name.to_owned() }
    }));
    found
}

/// The user that goes with a token, where a host insists on one.
fn user_of(host: &str) -> &'static str {
    if host.contains("gitlab") {
        "oauth2"
    } else if host == "bitbucket.org" {
        "x-token-auth"
    } else {
        "x-access-token"
    }
}

/// The variable with a host's token: `IMK_GIT_TOKEN_GIT_EXAMPLE_COM` for `git.example.com`. None for
/// what is no name of DNS, since such a host could share its variable with another.
pub fn variable_of(host: &str) -> Option<String> {
    let label = |label: &str| {
        let plain = label.chars().all(|c| c.is_ascii_alphanumeric() || c == '-');
        plain && !label.is_empty() && !label.starts_with('-') && !label.ends_with('-')
    };
    let name = host.to_ascii_uppercase().replace('-', "__").replace('.', "_");
    host.split('.').all(label).then(|| format!("IMK_GIT_TOKEN_{name}"))
}

/// The variable by its earlier rule, where a dash was one underscore: what it holds goes to the host
/// with dots alone. With its name of today, for a host that has both.
pub fn renamed(url: &GitUrl, variable: &dyn Fn(&str) -> Option<String>) -> Option<(String, String)> {
    let now = variable_of(&url.host).filter(|_| url.host.contains('-'))?;
    let before = variable_of(&url.host.replace('-', "."))?;
    (variable(&before).is_some() && variable(&now).is_none()).then_some((before, now))
}

fn is_this_machine(host: &str) -> bool {
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    host == "localhost" || bare.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::syntax::git_source::url;

    #[track_caller]
    fn check(address: &str, environment: &[(&str, &str)], expected: &str) {
        let variable = |name: &str| {
            let found = environment.iter().find(|(key, _)| *key == name);
            found.map(|(_, value)| (*value).to_owned())
        };
        let found = credentials(&url(address).unwrap(), &variable);
        let shown: Vec<String> =
            found.iter().map(|it| format!("{}:{} from {}", it.user, it.secret, it.from)).collect();
        assert_eq!(shown.join(", "), expected);
    }

    #[test]
    fn a_token_goes_to_its_own_host() {
        let github = [("GITHUB_TOKEN", "t")];
        check("https://github.com/o/r", &github, "x-access-token:t from GITHUB_TOKEN");
        check("https://github.com.evil.example/o/r", &github, "");
        check("http://github.com/o/r", &github, "");
        check("ssh://git@github.com/o/r", &github, "");
        let own = [("IMK_GIT_TOKEN_GIT_EXAMPLE_COM", "t"), ("GITHUB_TOKEN", "u")];
        check("https://git.example.com:8443/r", &own, "x-access-token:t from IMK_GIT_TOKEN_GIT_EXAMPLE_COM");
        check("http://git.example.com/r", &own, "");
        check("http://me:pass@git.example.com/r", &own, "");
        let here = [("IMK_GIT_TOKEN_127_0_0_1", "t")];
        check("http://127.0.0.1:8080/r", &here, "x-access-token:t from IMK_GIT_TOKEN_127_0_0_1");
        check("https://other.example.com/r", &own, "");
    }

    #[test]
    fn no_two_hosts_share_a_variable() {
        let mut hosts = std::collections::BTreeMap::new();
        let labels = ["a", "b", "a-b", "a--b", "b-a", "a-b-a", "ab"];
        for first in labels {
            for second in labels {
                for host in
                    [first.to_owned(), format!("{first}.{second}"), format!("{first}.{second}.{first}")]
                {
                    let other = hosts.insert(variable_of(&host).unwrap(), host.clone());
                    assert!(other.is_none_or(|other| other == host), "{host}");
                }
            }
        }
        for host in ["a_b", "a..b", "-a", "a-.b", "", "[::1]"] {
            assert_eq!(variable_of(host), None, "{host}");
        }
        let earlier = [("IMK_GIT_TOKEN_A_B", "t")];
        check("https://a-b/r", &earlier, "");
        check("https://a.b/r", &earlier, "x-access-token:t from IMK_GIT_TOKEN_A_B");
        let variable = |name: &str| (name == "IMK_GIT_TOKEN_A_B").then(|| "t".to_owned());
        let pair = ("IMK_GIT_TOKEN_A_B".to_owned(), "IMK_GIT_TOKEN_A__B".to_owned());
        assert_eq!(renamed(&url("https://a-b/r").unwrap(), &variable), Some(pair));
        assert_eq!(renamed(&url("https://a.b/r").unwrap(), &variable), None);
    }

    #[test]
    fn gitlab_wants_other_users() {
        let ci = [("CI_JOB_TOKEN", "t"), ("CI_SERVER_HOST", "git.corp.example")];
        check("https://git.corp.example/r", &ci, "gitlab-ci-token:t from CI_JOB_TOKEN");
        check("https://gitlab.com/r", &ci, "");
        check("https://gitlab.com/r", &[("GITLAB_TOKEN", "t")], "oauth2:t from GITLAB_TOKEN");
    }

    #[test]
    fn an_address_comes_first_and_no_secret_is_ever_shown() {
        let environment = [("GITHUB_TOKEN", "t"), ("GH_TOKEN", "")];
        check(
            "https://me:pass@github.com/o/r",
            &environment,
            "me:pass from the address, x-access-token:t from GITHUB_TOKEN",
        );
        let found = credentials(&url("https://me:pass@h/r").unwrap(), &|_| None);
        assert_eq!(format!("{found:?}"), "[Credential(from the address)]");
    }
}
