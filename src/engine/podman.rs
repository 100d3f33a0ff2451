//! Podman as a builder: how its `/build` is asked, and what it cannot do.
//!
//! It speaks Docker's API and builds with Buildah. Seen on Podman 4.3.1 and 5.8.6. Reads
//! requests and Dockerfiles; asks nobody.

use std::collections::BTreeSet;

use super::BuildRequest;
use crate::syntax::dockerfile::{Body, Dockerfile, Frontend, Instruction, Mount, parse};
use crate::syntax::reference;
use crate::syntax::resolve::sources::{Kind, kind};

/// The ignore file that Podman takes before `.dockerignore`. Of those that are sent it is imk's own, so that
/// a `.dockerignore` in the context is a file like any other.
pub(super) const IGNORE: &str = ".containerignore";

/// Since when a text can stand in a Dockerfile: `RUN <<EOF`.
const HEREDOCS: Version = Version(4, 8);
/// Since when a cached `RUN` counts the files it has mounted. 4.3.1 takes the old layer when they changed.
const MOUNTS_COUNT: Version = Version(5, 8);
/// Since when `ADD` fetches repositories. Before, it takes what the address answers for a file.
const GIT: Version = Version(5, 0);

/// Major and minor number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Version(u32, u32);

/// A Podman of some version.
#[derive(Clone, Copy, Debug)]
pub(super) struct Podman(Version);

impl Podman {
    /// Of `4.3.1`. What is no version counts as the oldest.
    pub fn of(version: &str) -> Self {
        let mut numbers = version.split(['.', '-']).map(|number| number.parse().unwrap_or_default());
        Self(Version(numbers.next().unwrap_or_default(), numbers.next().unwrap_or_default()))
    }

    /// The first thing of a request that it cannot do, or would do otherwise than the key says. Things that it refuses itself, by name
    /// and before anything is built, is not looked for.
    pub fn refusal(self, request: &BuildRequest) -> Option<String> {
        let refuse = |what: &str, advice: &str| Some(format!("Podman {what}; {advice}"));
        if !request.secrets.is_empty() {
            return refuse("takes no secrets through its API", "build this image on a Docker engine");
        }
        if !request.ssh.is_empty() {
            return refuse("takes no ssh agents through its API", "build this image on a Docker engine");
        }
        if !request.sandbox.is_usual() {
            let what = "spells hosts and limits of steps otherwise";
            return refuse(what, "leave `extra_hosts`, `shm_size` and `ulimits` out for it");
        }
        if !request.no_cache_stages.is_empty() || !request.entitlements.is_empty() {
            let what = "knows neither `no_cache_filter` nor `entitlements`";
            return refuse(what, "build this image on a Docker engine");
        }
        if let Some(name) = request.contexts.keys().next() {
            let what = format!("gets no contexts of files through its API, such as `{name}`");
            return refuse(&what, "put the files over the context with `overlays`");
        }
        if request.cache.inline || !request.cache.from.is_empty() || super::control::need(request).is_some() {
            let what = "has no layer caches of images";
            return refuse(what, "leave `cache_from` and `cache_to` out for it");
        }
        if let Some(network) = request.network.as_deref().filter(|network| network_query(network).is_none()) {
            let what = format!("builds with the networks `none`, `host` and its default, not `{network}`");
            return refuse(&what, "choose one of them");
        }
        if request.files.list().files.iter().any(|file| file.path == IGNORE) {
            let what = format!("leaves out what `{IGNORE}` names, and imk goes by `.dockerignore`");
            return refuse(&what, &format!("name `{IGNORE}` itself in `.dockerignore`"));
        }
        // It was read before it came here.
        let file = parse(&request.dockerfile).ok()?;
        let syntax = file.syntax.as_ref().filter(|syntax| Frontend::of(&syntax.text) != Frontend::Builtin);
        if let Some(syntax) = syntax {
            let what = format!("reads Dockerfiles itself, without `# syntax={}`", syntax.text);
            return refuse(&what, "build this image on a Docker engine");
        }
        instructions(&file).find_map(|instruction| {
            let (what, advice) = self.cannot(instruction)?;
            let (line, _) = instruction.span.line_and_column(&request.dockerfile);
            refuse(&format!("{what} (line {line})"), advice)
        })
    }

    fn cannot(self, instruction: &Instruction) -> Option<(&'static str, &'static str)> {
        let old = self.0 < HEREDOCS;
        match &instruction.body {
            Body::Run(run) if old && !run.heredocs.is_empty() => {
                Some(("before 4.8 knows no `RUN <<EOF`", "write the lines with `&&`, or use a newer one"))
            }
            Body::Run(run) if run.security.is_some() => {
                Some(("knows no `RUN --security`", "build this image on a Docker engine"))
            }
            Body::Run(run) if !run.devices.is_empty() => {
                Some(("knows no `RUN --device`", "build this image on a Docker engine"))
            }
            Body::Copy(transfer) | Body::Add(transfer) => {
                let git = |word: &crate::syntax::dockerfile::Word| kind(&word.text) == Kind::Git;
                if old && !transfer.contents.is_empty() {
                    Some(("before 4.8 knows no `COPY <<EOF`", "put the text into a file, or use a newer one"))
                } else if !transfer.exclude.is_empty() {
                    // 5.8 reads the patterns from the top of the context, BuildKit from the source.
                    Some(("reads `--exclude` otherwise than Docker", "name the files in `.dockerignore`"))
                } else if self.0 < GIT && transfer.sources.iter().any(git) {
                    Some(("before 5 adds no git repositories", "use an overlay, or a newer one"))
                } else {
                    None
                }
            }
            _ => None,
        }
    }

    /// The parameters beside those that every builder takes.
    pub fn query(self, request: &BuildRequest) -> Vec<(&'static str, String)> {
        // The specification's other format has no place for HEALTHCHECK, SHELL and ONBUILD.
        let format = "application/vnd.docker.distribution.manifest.v2+json";
        let mut query = vec![("layers", "1".to_owned()), ("outputformat", format.to_owned())];
        query.extend(request.network.as_deref().and_then(network_query));
        if !request.no_cache && self.0 < MOUNTS_COUNT && mounts_files(&request.dockerfile) {
            query.push(("nocache", "1".to_owned()));
        }
        query
    }
}

/// The parameter for docker's `--network`; the word itself is passed over by Podman.
fn network_query(network: &str) -> Option<(&'static str, String)> {
    match network {
        "none" => Some(("networkmode", "NetworkDisabled".to_owned())),
        "default" => Some(("networkmode", "NetworkDefault".to_owned())),
        "host" => Some(("nsoptions", r#"[{"Name":"network","Host":true,"Path":""}]"#.to_owned())),
        _ => None,
    }
}

fn instructions(file: &Dockerfile) -> impl Iterator<Item = &Instruction> {
    file.stages.iter().flat_map(|stage| &stage.instructions)
}

/// Whether a `RUN` has files mounted that are of the context, a stage or an image.
fn mounts_files(dockerfile: &str) -> bool {
    let Ok(file) = parse(dockerfile) else { return true };
    let is_bind = |mount: &Mount| {
        let kind = mount.fields.iter().rev().find(|field| field.key == "type");
        mount.from.is_some() || kind.is_none_or(|kind| kind.value.as_deref() == Some("bind"))
    };
    instructions(&file).any(|instruction| match &instruction.body {
        Body::Run(run) => run.mounts.iter().any(is_bind),
        _ => false,
    })
}

/// The images with a digest that a Dockerfile names. Podman's `/build` takes no login, and speaks TLS with
/// every registry, so they are fetched before.
pub(super) fn exact_bases(dockerfile: &str) -> BTreeSet<String> {
    let Ok(file) = parse(dockerfile) else { return BTreeSet::new() };
    let mut named: BTreeSet<&str> = file.stages.iter().map(|stage| stage.base.text.as_str()).collect();
    for instruction in instructions(&file) {
        match &instruction.body {
            Body::Copy(transfer) | Body::Add(transfer) => {
                named.extend(transfer.from.as_ref().map(|from| from.text.as_str()));
            }
            Body::Run(run) => {
                let from = run.mounts.iter().filter_map(|mount| mount.from.as_ref());
                named.extend(from.map(|from| from.text.as_str()));
            }
            _ => {}
        }
    }
    let exact = |name: &&str| reference::parse(name).is_ok_and(|name| name.digest.is_some());
    named.into_iter().filter(exact).map(str::to_owned).collect()
}

#[cfg(test)]
pub(in crate::engine) mod tests;
