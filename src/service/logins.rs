//! Logins of repositories, by the names that `serve.ron` gives them.
//!
//! A value is read when it is needed, from the environment that the service was handed or from a file, so that a changed file
//! counts at once. No error holds a value.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::PathBuf;

use fs_err as fs;

use crate::source::git::credentials::variable_of;
use crate::syntax::git_source;
use crate::syntax::imagefile::SecretSource;
use crate::syntax::serve::settings::SecretOrText;
use crate::syntax::serve::{Credentials, Repository, Settings};

/// An environment.
pub type Environment = BTreeMap<OsString, OsString>;

/// The environment of the service, and the folder at which paths of `serve.ron` begin.
#[derive(Clone, Debug)]
pub struct Logins {
    /// The variables of this process.
    pub environment: Environment,
    /// Where relative paths begin.
    pub root: PathBuf,
}

impl Logins {
    /// The value of a secret.
    ///
    /// # Errors
    /// When it is not there; the name, and never the value.
    pub fn secret(&self, source: &SecretSource) -> Result<String, String> {
        match source {
            SecretSource::Env(name) => {
                let value = self.environment.get(&OsString::from(name)).and_then(|value| value.to_str());
                value.map(str::to_owned).ok_or_else(|| format!("the variable {name} is not set"))
            }
            SecretSource::File(path) => {
                let path = self.root.join(path);
                let text = fs::read_to_string(&path).map_err(|error| error.to_string())?;
                Ok(text.trim_end_matches(['\n', '\r']).to_owned())
            }
        }
    }

    /// A text, or the value of a secret.
    ///
    /// # Errors
    /// As [`Self::secret`].
    pub fn text(&self, value: &SecretOrText) -> Result<String, String> {
        match value {
            SecretOrText::Text(text) => Ok(text.clone()),
            SecretOrText::Secret(source) => self.secret(source),
        }
    }

    /// The login of a repository, if it names one.
    pub fn of<'s>(&self, settings: &'s Settings, repository: &Repository) -> Option<&'s Credentials> {
        repository.credentials.as_ref().and_then(|name| settings.credentials.get(name))
    }

    /// The environment in which git reaches a repository.
    ///
    /// # Errors
    /// When a secret of its login is not there.
    pub fn for_git(&self, settings: &Settings, repository: &Repository) -> Result<Environment, String> {
        let mut environment = self.environment.clone();
        let Some(login) = self.of(settings, repository) else { return Ok(environment) };
        if let Some(token) = &login.git_token {
            let url = git_source::url(&repository.url)?;
            let token = self.secret(token)?;
            if let Some(name) = variable_of(&url.host) {
                environment.insert(name.into(), token.into());
            }
        }
        if login.ssh_key.is_some() {
            environment.insert("GIT_SSH_COMMAND".into(), self.ssh(settings, repository).into());
        }
        Ok(environment)
    }

    /// The call of ssh with the key of a repository's login. Without one it has none, also of this machine's own user.
    pub fn ssh(&self, settings: &Settings, repository: &Repository) -> String {
        let key = self.of(settings, repository).and_then(|login| login.ssh_key.as_ref());
        let key = match key {
            Some(key) => {
                let key = self.root.join(key).display().to_string().replace('\'', "'\\''");
                format!("-i '{key}'")
            }
            None => "-F none -i none -o IdentityAgent=none".to_owned(),
        };
        format!(
            "ssh {key} -o IdentitiesOnly=yes -o BatchMode=yes -o ConnectTimeout=20 -o ServerAliveInterval=10"
        )
    }

    /// Variables for the steps of a repository: those of its policy, then those of its login.
    ///
    /// # Errors
    /// When a secret of its login is not there.
    pub fn for_steps(
        &self,
        settings: &Settings,
        repository: &Repository,
    ) -> Result<Vec<(String, String)>, String> {
        let mut variables: Vec<_> =
            repository.env.iter().map(|(name, value)| (name.clone(), value.clone())).collect();
        for (name, source) in self.of(settings, repository).into_iter().flat_map(|login| &login.env) {
            variables.push((name.clone(), self.secret(source)?));
        }
        Ok(variables)
    }

    /// Values that steps can read and nobody is to be shown.
    pub fn secrets_of_steps(&self, settings: &Settings, repository: &Repository) -> Vec<String> {
        let sources = self.of(settings, repository).into_iter().flat_map(|login| login.env.values());
        sources.filter_map(|source| self.secret(source).ok()).collect()
    }

    /// Files and folders that hold secrets, of every repository and of the service.
    pub fn files(&self, settings: &Settings) -> Vec<PathBuf> {
        let of_secret = |source: &SecretSource| match source {
            SecretSource::Env(_) => None,
            SecretSource::File(path) => Some(PathBuf::from(path)),
        };
        let of_text = |value: &SecretOrText| match value {
            SecretOrText::Text(_) => None,
            SecretOrText::Secret(source) => of_secret(source),
        };
        let mut files: Vec<PathBuf> = Vec::new();
        for login in settings.credentials.values() {
            let tokens = [&login.git_token, &login.forge_token].into_iter().flatten();
            let tokens = tokens.chain(login.jenkins.iter().map(|jenkins| &jenkins.token));
            files.extend(tokens.chain(login.env.values()).filter_map(of_secret));
            files.extend(login.ssh_key.iter().chain(&login.docker_config).cloned());
        }
        files.extend(settings.notify.values().filter_map(|notifier| of_text(&notifier.url)));
        files.extend(settings.queue.as_ref().and_then(of_text));
        files.extend(settings.tls.as_ref().map(|tls| tls.key.clone()));
        files.into_iter().map(|path| self.root.join(path)).collect()
    }

    /// The folder of a docker configuration with logins for registries.
    pub fn docker_config(&self, settings: &Settings, repository: &Repository) -> Option<PathBuf> {
        let folder = self.of(settings, repository)?.docker_config.as_ref()?;
        Some(self.root.join(folder))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_login_goes_to_its_host_and_no_error_holds_it() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("token"), "s3cret\n").unwrap();
        let environment = BTreeMap::from([("NPM".into(), "n".into())]);
        let logins = Logins { environment, root: folder.path().to_owned() };
        let text = r#"(
            credentials: {"a": (git_token: File("token"), ssh_key: "it's", env: {"NPM_TOKEN": Env("NPM")}), "b": (git_token: Env("NONE"))},
            repositories: {
                "a": (url: "https://git.example.com/a.git", credentials: "a", env: {"X": "1"}),
                "b": (url: "https://git.example.com/b.git", credentials: "b"),
            },
        )"#;
        let settings = crate::syntax::serve::read(text).unwrap();
        let all: Vec<_> = settings.repositories.values().collect();
        let environment = logins.for_git(&settings, all[0]).unwrap();
        assert_eq!(environment[&OsString::from("IMK_GIT_TOKEN_GIT_EXAMPLE_COM")], OsString::from("s3cret"));
        let ssh = environment[&OsString::from("GIT_SSH_COMMAND")].to_str().unwrap();
        assert!(ssh.contains(r"/it'\''s'"), "{ssh}");
        let steps = logins.for_steps(&settings, all[0]).unwrap();
        assert_eq!(steps, [("X".into(), "1".into()), ("NPM_TOKEN".into(), "n".into())]);
        assert_eq!(logins.for_git(&settings, all[1]).unwrap_err(), "the variable NONE is not set");
    }
}
