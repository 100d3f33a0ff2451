//! The facts that templates name: from git, CI, the command line and the clock.
//!
//! Gathered once for a run, and only those that some template or rule needs: git is not
//! opened for `latest`. Knows no engine; an image's key comes from the caller.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};

use crate::model::hash::ContentHash;
use crate::plan::tags::ci;
use crate::plan::tags::missing::Missing;
use crate::session::open::Session;
use crate::source::git::GitStore;
use crate::source::git::head::Head;
use crate::source::tree::ReadError;
use crate::syntax::tag::{Fact, TagRule, Version, When, lets_in};

/// The facts that are known.
pub struct Facts {
    git: Result<Git, Missing>,
    now: Timestamp,
    build: Option<String>,
    environment: BTreeMap<String, String>,
}

/// The words of git, and CI's beside.
struct Git {
    store: Arc<GitStore>,
    head: Head,
    ci_refs: ci::CiRefs,
    /// At the commit, or the one that CI builds.
    tags: Result<Vec<String>, Missing>,
    describe: Result<String, Missing>,
}

/// Gathers what some tags need.
pub fn gather(session: &Session, rules: &[&TagRule]) -> Facts {
    let facts = || rules.iter().flat_map(|rule| rule.template.facts());
    let variable = |name: &str| session.environment.get(OsStr::new(name)).and_then(|value| value.to_str());
    let by_git = |fact: &Fact| *fact == Fact::Branch || fact.names_commit();
    let git = match facts().any(by_git) || rules.iter().any(|rule| rule.when.is_some()) {
        true => Git::read(session, rules, variable),
        false => Err(Missing::NoRepository),
    };
    let named = facts().filter_map(|fact| if let Fact::Env(name) = fact { Some(name) } else { None });
    let environment = named.filter_map(|name| Some((name.clone(), variable(name)?.to_owned())));
    Facts {
        git,
        now: session.upstream.now().timestamp(),
        build: session.overrides.build_number.clone().or_else(|| ci::build_number(variable)),
        environment: environment.filter(|(_, value)| !value.is_empty()).collect(),
    }
}

impl Git {
    fn read<'e>(
        session: &Session,
        rules: &[&TagRule],
        variable: impl Fn(&str) -> Option<&'e str>,
    ) -> Result<Self, Missing> {
        let git = |error: ReadError| Missing::Git(error.why);
        let needs = |wanted: fn(&Fact) -> bool| rules.iter().any(|rule| rule.template.facts().any(wanted));
        let store = GitStore::find(&session.project.root).map_err(git)?.ok_or(Missing::NoRepository)?;
        let head = head(session, &store).map_err(git)?;
        let ci_refs = head.id.as_deref().map(|id| ci::refs(id, variable)).unwrap_or_default();
        let by_tag = rules.iter().any(|rule| rule.when.as_ref().is_some_and(|when| when.git_tag.is_some()));
        let tags = match (&head.id, &ci_refs.tag) {
            // A commit may have several tags, and CI builds one of them.
            (_, Some(tag)) => Ok(vec![tag.clone()]),
            (Some(id), None) if by_tag || needs(|f| matches!(f, Fact::GitTag | Fact::Semver(_))) => {
                store.tags_at(id).map_err(git)
            }
            _ => Ok(Vec::new()),
        };
        let describe = match &head.id {
            Some(id) if needs(|fact| *fact == Fact::Describe) => store.describe(id).map_err(git),
            _ => Err(Missing::NoCommit),
        };
        Ok(Self { store, head, ci_refs, tags, describe })
    }

    /// The branch that is built; a pull request is built for none.
    fn branch(&self) -> Option<&str> {
        self.head.branch.as_deref().or(self.ci_refs.branch.as_deref())
    }
}

/// The commit that is looked at, and the branch if that is checked out.
fn head(session: &Session, store: &GitStore) -> Result<Head, ReadError> {
    let head = store.head()?;
    match &session.overrides.commit {
        Some(other) if head.id.as_ref() != Some(other) => {
            let commit = store.commit(other)?;
            Ok(Head { id: Some(commit.id), time: commit.time, branch: None })
        }
        _ => Ok(head),
    }
}

impl Facts {
    /// The time of the run, as tags have it.
    pub fn now(&self) -> String {
        stamp(self.now)
    }

    /// So many seconds later.
    pub fn later(&self, seconds: i64) -> String {
        stamp(self.now.saturating_add(SignedDuration::from_secs(seconds)).unwrap_or(self.now))
    }

    /// Git's objects, where there are any.
    pub fn store(&self) -> Option<&Arc<GitStore>> {
        self.git.as_ref().ok().filter(|git| git.head.id.is_some()).map(|git| &git.store)
    }

    /// The git tags that a rule's template is about; `None` when the rule is for other builds.
    ///
    /// # Errors
    /// When git does not say.
    pub fn let_in(&self, when: Option<&When>) -> Result<Option<Vec<&str>>, Missing> {
        let git = match (&self.git, when) {
            (Ok(git), _) => git,
            (Err(_), None) => return Ok(Some(Vec::new())),
            (Err(why), Some(_)) => return Err(why.clone()),
        };
        let mut tags: Vec<&str> =
            git.tags.as_ref().map_err(Clone::clone)?.iter().map(String::as_str).collect();
        let Some(when) = when else { return Ok(Some(tags)) };
        if let Some(globs) = &when.branch
            && !git.branch().is_some_and(|branch| lets_in(globs, branch))
        {
            return Ok(None);
        }
        if let Some(globs) = &when.git_tag {
            tags.retain(|tag| lets_in(globs, tag));
            if tags.is_empty() {
                return Ok(None);
            }
        }
        Ok(Some(tags))
    }

    /// The value of a fact, never empty, for a template about these git tags.
    ///
    /// # Errors
    /// Why it has none.
    pub fn value(&self, fact: &Fact, tags: &[&str], key: Option<&ContentHash>) -> Result<String, Missing> {
        let git = || self.git.as_ref().map_err(Clone::clone);
        let commit = |git: &Git| git.head.id.clone().ok_or(Missing::NoCommit);
        match fact {
            Fact::Time => Ok(self.now()),
            Fact::Key => key.map(ToString::to_string).ok_or(Missing::NoKey),
            Fact::Build => self.build.clone().filter(|it| !it.is_empty()).ok_or(Missing::NoBuildNumber),
            Fact::Env(name) => {
                self.environment.get(name).cloned().ok_or_else(|| Missing::NoVariable(name.clone()))
            }
            Fact::Sha => commit(git()?),
            Fact::CommitTime => commit(git()?)
                .and_then(|_| Ok(stamp(Timestamp::from_second(git()?.head.time).unwrap_or_default()))),
            Fact::Branch => {
                let git = git()?;
                let source = git.ci_refs.source.as_deref();
                git.branch().or(source).map(str::to_owned).ok_or(Missing::NoBranch)
            }
            Fact::Describe => git()?.describe.clone(),
            Fact::GitTag => git().and_then(|_| best(tags).map(|(tag, _)| tag.to_owned())),
            Fact::Semver(part) => {
                git()?;
                let (tag, version) = best(tags)?;
                of_version(*part, tag, &version.ok_or_else(|| Missing::NoVersion(tag.to_owned()))?)
            }
        }
    }
}

/// The highest version among git tags, else the last of them by name.
fn best<'t>(tags: &[&'t str]) -> Result<(&'t str, Option<semver::Version>), Missing> {
    let versions = tags.iter().map(|tag| (version(tag), *tag));
    versions.max().map(|(version, tag)| (tag, version)).ok_or(Missing::NoTag)
}

/// `1.2.3` of `v1.2.3` and `api/v1.2.3`.
fn version(tag: &str) -> Option<semver::Version> {
    let last = tag.rsplit('/').next().unwrap_or(tag);
    semver::Version::parse(last.strip_prefix('v').unwrap_or(last)).ok()
}

fn of_version(part: Version, tag: &str, version: &semver::Version) -> Result<String, Missing> {
    let semver::Version { major, minor, patch, .. } = version;
    match (part, version.pre.is_empty()) {
        (Version::Whole, _) => Ok(version.to_string()),
        (Version::Pre, false) => Ok(version.pre.to_string()),
        (Version::Pre, true) => Err(Missing::NoPreRelease(tag.to_owned())),
        (_, false) => Err(Missing::PreRelease(tag.to_owned())),
        (Version::Major, true) => Ok(major.to_string()),
        (Version::Minor, true) => Ok(format!("{major}.{minor}")),
        (Version::Patch, true) => Ok(format!("{major}.{minor}.{patch}")),
    }
}

/// `20180923T082316Z`: sorts as time goes, and can stand in a tag.
fn stamp(time: Timestamp) -> String {
    time.strftime("%Y%m%dT%H%M%SZ").to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_sort_as_they_go() {
        assert_eq!(stamp(Timestamp::from_second(1_537_690_996).unwrap()), "20180923T082316Z");
        assert!(
            stamp(Timestamp::from_second(1_537_690_996).unwrap())
                < stamp(Timestamp::from_second(1_537_690_997).unwrap())
        );
    }

    #[test]
    fn the_highest_version_counts_and_a_pre_release_moves_no_release() {
        assert_eq!(best(&["v1.9.0", "v1.10.0", "zzz"]).unwrap().0, "v1.10.0");
        assert_eq!(best(&["v1.0.0", "v1.0.0-rc.1"]).unwrap().0, "v1.0.0");
        assert_eq!(best(&["a", "b"]).unwrap(), ("b", None));
        assert_eq!(best(&[]), Err(Missing::NoTag));
        let part = |part, tag: &str| of_version(part, tag, &version(tag).unwrap()).ok();
        for (tag, expected) in [
            ("v1.2.3", ["1.2.3", "1", "1.2", "1.2.3", "-"]),
            ("api/v1.2.3-rc.1", ["1.2.3-rc.1", "-", "-", "-", "rc.1"]),
        ] {
            let parts = [Version::Whole, Version::Major, Version::Minor, Version::Patch, Version::Pre];
            let found = parts.map(|wanted| part(wanted, tag).unwrap_or_else(|| "-".into()));
            assert_eq!(found, expected, "{tag}");
        }
        assert_eq!(version("v1.2"), None);
    }
}
