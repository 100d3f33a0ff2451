//! Refs of a build by the variables of CI systems.
//!
//! They check a commit out without its branch, and tell which it was beside. What they
//! tell is believed of the very commit they name: a repository made by a test that runs in CI is
//! another. Knows no git.

/// The refs of a commit by a CI system.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CiRefs {
    /// The branch that is built.
    pub branch: Option<String>,
    /// Of a pull request: the branch it comes from, which may bear any name in somebody's fork.
    pub source: Option<String>,
    /// The git tag that is built.
    pub tag: Option<String>,
}

/// The variables of one system. An empty name is a variable it does not have.
struct System {
    commit: &'static str,
    /// `branch` or `tag`, where both are told in one variable.
    kind: &'static str,
    branch: &'static str,
    tag: &'static str,
    /// Set and not `false` when a pull request is built.
    pull: &'static str,
    source: &'static str,
}

const SYSTEMS: &[System] = &[
    // GitHub, Forgejo, Gitea.
    System {
        commit: "GITHUB_SHA",
        kind: "GITHUB_REF_TYPE",
        branch: "GITHUB_REF_NAME",
        tag: "GITHUB_REF_NAME",
        pull: "GITHUB_HEAD_REF",
        source: "GITHUB_HEAD_REF",
    },
    // GitLab.
    System {
        commit: "CI_COMMIT_SHA",
        kind: "",
        branch: "CI_COMMIT_BRANCH",
        tag: "CI_COMMIT_TAG",
        pull: "CI_MERGE_REQUEST_IID",
        source: "CI_MERGE_REQUEST_SOURCE_BRANCH_NAME",
    },
    // CircleCI calls the branch of a fork `pull/NUMBER`.
    System {
        commit: "CIRCLE_SHA1",
        kind: "",
        branch: "CIRCLE_BRANCH",
        tag: "CIRCLE_TAG",
        pull: "",
        source: "",
    },
    // Jenkins, multibranch.
    System {
        commit: "GIT_COMMIT",
        kind: "",
        branch: "BRANCH_NAME",
        tag: "TAG_NAME",
        pull: "CHANGE_ID",
        source: "CHANGE_BRANCH",
    },
    // Buildkite.
    System {
        commit: "BUILDKITE_COMMIT",
        kind: "",
        branch: "BUILDKITE_BRANCH",
        tag: "BUILDKITE_TAG",
        pull: "BUILDKITE_PULL_REQUEST",
        source: "BUILDKITE_BRANCH",
    },
    // Travis.
    System {
        commit: "TRAVIS_COMMIT",
        kind: "",
        branch: "TRAVIS_BRANCH",
        tag: "TRAVIS_TAG",
        pull: "TRAVIS_PULL_REQUEST",
        source: "TRAVIS_PULL_REQUEST_BRANCH",
    },
    // Bitbucket.
    System {
        commit: "BITBUCKET_COMMIT",
        kind: "",
        branch: "BITBUCKET_BRANCH",
        tag: "BITBUCKET_TAG",
        pull: "BITBUCKET_PR_ID",
        source: "BITBUCKET_BRANCH",
    },
];

/// Where a build number is looked for, the first that is set.
const BUILD_NUMBERS: &[&str] = &[
    "BUILD_NUMBER",
    "BUILD_NUM",
    "GITHUB_RUN_NUMBER",
    "CI_PIPELINE_IID",
    "CIRCLE_BUILD_NUM",
    "CI_PIPELINE_NUMBER",
    "BUILDKITE_BUILD_NUMBER",
    "TRAVIS_BUILD_NUMBER",
    "BITBUCKET_BUILD_NUMBER",
    "DRONE_BUILD_NUMBER",
    "APPVEYOR_BUILD_NUMBER",
    "BUILD_BUILDID",
];

/// The refs that CI tells of this commit; nothing of any other.
pub fn refs<'e>(commit: &str, variable: impl Fn(&str) -> Option<&'e str>) -> CiRefs {
    let set = |name: &str| variable(name).filter(|value| !value.is_empty()).map(str::to_owned);
    let Some(system) = SYSTEMS.iter().find(|system| variable(system.commit) == Some(commit)) else {
        return CiRefs::default();
    };
    let kind = set(system.kind);
    let of_kind = |wanted: &str| system.kind.is_empty() || kind.as_deref() == Some(wanted);
    let tag = set(system.tag).filter(|_| of_kind("tag"));
    if set(system.pull).is_some_and(|pull| pull != "false") {
        return CiRefs { source: set(system.source), ..CiRefs::default() };
    }
    // Where a tag is built, some tell its name as the branch too.
    let branch = set(system.branch).filter(|_| tag.is_none() && of_kind("branch"));
    CiRefs { branch, source: None, tag }
}

/// Variables that are set, and not `false`, where a pull request is built: of the systems above and of
/// GitLab for others' forges, CircleCI (requests from forks), Jenkins' builder of pull requests, Drone, Azure,
/// AppVeyor, Cirrus and Prow. `IMK_PULL_REQUEST` is for any other.
const PULL_REQUESTS: &[&str] = &[
    "IMK_PULL_REQUEST",
    "GITHUB_HEAD_REF",
    "CI_MERGE_REQUEST_IID",
    "CI_EXTERNAL_PULL_REQUEST_IID",
    "CIRCLE_PR_NUMBER",
    "CHANGE_ID",
    "ghprbPullId",
    "BUILDKITE_PULL_REQUEST",
    "TRAVIS_PULL_REQUEST",
    "BITBUCKET_PR_ID",
    "DRONE_PULL_REQUEST",
    "SYSTEM_PULLREQUEST_PULLREQUESTID",
    "APPVEYOR_PULL_REQUEST_NUMBER",
    "CIRRUS_PR",
    "PULL_NUMBER",
];

/// Variables that name the event of a build, or its branch, with the beginnings that mean a pull request: of GitHub and
/// its likes, of Drone and Woodpecker, of CircleCI.
const PULL_REQUEST_EVENTS: &[(&str, &str)] = &[
    ("GITHUB_EVENT_NAME", "pull_request"),
    ("CI_PIPELINE_EVENT", "pull_request"),
    ("CI_BUILD_EVENT", "pull_request"),
    ("CI_PIPELINE_SOURCE", "merge_request_event"),
    ("CI_PIPELINE_SOURCE", "external_pull_request_event"),
    ("DRONE_BUILD_EVENT", "pull_request"),
    ("CIRCLE_BRANCH", "pull/"),
    ("BUILD_REASON", "PullRequest"),
];

/// The variable that says that a pull request is built, whatever its commit is called here. Other than [`refs`] it
/// believes everybody: the question is whether something must not be done.
pub fn pull_request<'e>(variable: impl Fn(&str) -> Option<&'e str>) -> Option<&'static str> {
    let is_set = |name: &str| variable(name).is_some_and(|value| !matches!(value, "" | "false" | "0"));
    let by_event = || {
        let is = |(name, beginning): &&(&str, &str)| {
            variable(name).is_some_and(|value| value.starts_with(beginning))
        };
        PULL_REQUEST_EVENTS.iter().find(is).map(|(name, _)| *name)
    };
    PULL_REQUESTS.iter().copied().find(|name| is_set(name)).or_else(by_event)
}

/// The number of a build in CI.
pub fn build_number<'e>(variable: impl Fn(&str) -> Option<&'e str>) -> Option<String> {
    let mut numbers = BUILD_NUMBERS.iter().filter_map(|name| variable(name));
    numbers.find(|number| !number.is_empty()).map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `branch/source/tag` of commit `c` under these variables.
    #[track_caller]
    fn check(variables: &str, expected: &str) {
        let pairs: Vec<(&str, &str)> =
            variables.split_whitespace().filter_map(|p| p.split_once('=')).collect();
        let variable = |name: &str| pairs.iter().find(|(known, _)| *known == name).map(|(_, value)| *value);
        let CiRefs { branch, source, tag } = refs("c", variable);
        let found = [branch, source, tag].map(|name| name.unwrap_or_else(|| "-".into()));
        assert_eq!(found.join(" "), expected, "{variables}");
    }

    #[test]
    fn branch_and_tag_are_told_by_each_system() {
        check("GITHUB_SHA=c GITHUB_REF_TYPE=branch GITHUB_REF_NAME=main GITHUB_HEAD_REF=", "main - -");
        check("GITHUB_SHA=c GITHUB_REF_TYPE=tag GITHUB_REF_NAME=v1", "- - v1");
        check("CI_COMMIT_SHA=c CI_COMMIT_BRANCH=main", "main - -");
        check("CI_COMMIT_SHA=c CI_COMMIT_TAG=v1", "- - v1");
        check("CIRCLE_SHA1=c CIRCLE_BRANCH=main CIRCLE_TAG=", "main - -");
        check("GIT_COMMIT=c BRANCH_NAME=v1 TAG_NAME=v1", "- - v1");
        check("BUILDKITE_COMMIT=c BUILDKITE_BRANCH=main BUILDKITE_PULL_REQUEST=false", "main - -");
    }

    #[test]
    fn a_pull_request_is_built_for_no_branch_whatever_its_own_is_called() {
        check("GITHUB_SHA=c GITHUB_REF_TYPE=branch GITHUB_REF_NAME=7/merge GITHUB_HEAD_REF=main", "- main -");
        check("CI_COMMIT_SHA=c CI_MERGE_REQUEST_IID=7 CI_MERGE_REQUEST_SOURCE_BRANCH_NAME=x", "- x -");
        check(
            "TRAVIS_COMMIT=c TRAVIS_BRANCH=main TRAVIS_PULL_REQUEST=7 TRAVIS_PULL_REQUEST_BRANCH=x",
            "- x -",
        );
    }

    #[test]
    fn a_pull_request_is_told_by_any_variable_of_any_system() {
        let said_by = |variables: &str| {
            let pairs: Vec<(String, String)> = variables
                .split_whitespace()
                .filter_map(|pair| pair.split_once('='))
                .map(|(name, value)| (name.to_owned(), value.to_owned()))
                .collect();
            pull_request(|name| {
                pairs.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
            })
        };
        for (variables, name) in [
            ("GITHUB_HEAD_REF=main", "GITHUB_HEAD_REF"),
            ("GITHUB_EVENT_NAME=pull_request_target GITHUB_HEAD_REF=", "GITHUB_EVENT_NAME"),
            ("CI_MERGE_REQUEST_IID=1", "CI_MERGE_REQUEST_IID"),
            ("CI_PIPELINE_SOURCE=merge_request_event", "CI_PIPELINE_SOURCE"),
            ("CI_PIPELINE_EVENT=pull_request", "CI_PIPELINE_EVENT"),
            ("CIRCLE_BRANCH=pull/7", "CIRCLE_BRANCH"),
            ("CIRCLE_PR_NUMBER=7", "CIRCLE_PR_NUMBER"),
            ("CHANGE_ID=7", "CHANGE_ID"),
            ("IMK_PULL_REQUEST=true", "IMK_PULL_REQUEST"),
        ] {
            assert_eq!(said_by(variables), Some(name), "{variables}");
        }
        for variables in [
            "",
            "GITHUB_EVENT_NAME=push GITHUB_HEAD_REF=",
            "CI_PIPELINE_SOURCE=push",
            "TRAVIS_PULL_REQUEST=false BUILDKITE_PULL_REQUEST=false",
            "CIRCLE_BRANCH=main CIRCLE_PULL_REQUEST=https://example/7",
        ] {
            assert_eq!(said_by(variables), None, "{variables}");
        }
    }

    #[test]
    fn another_repositorys_commit_is_not_what_ci_builds() {
        check("GITHUB_SHA=d GITHUB_REF_TYPE=branch GITHUB_REF_NAME=main", "- - -");
        check("", "- - -");
    }
}
