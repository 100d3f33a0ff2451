//! Action key of an image: the parts that count.
//!
//! This table is the specification. `tests/it/freshness.rs` follows it row by
//! row, in both directions.
//!
//! | counts | does not count |
//! |---|---|
//! | instructions of the stages that the target reaches, heredoc bodies, `# escape`, an unknown `# syntax` | comments, blank lines, line joins, keyword case, stages not reached; labels, commands, ports of stages only copied from |
//! | values of the arguments that reached stages declare, defaults included | arguments nobody declares (warned of), proxy arguments, secrets' values, ssh |
//! | `SOURCE_DATE_EPOCH` of the environment, where the Dockerfile declares such an argument | the same where it does not: the builder gets it, and sets dates by it, which do not count |
//! | every file an instruction of a reached stage reads: its path below the context, kind, permission bits, content; a link's target | files never read, files ignored, the ignore file's own text, mtime, owner, absolute paths, imk's own state |
//! | of what is put over a context (`overlays`), the same: files that are read, under their path in the context | where it is from: path, address, branch, commit; commits that change no file that is read |
//! | the listing of a copied folder: files added, removed, renamed | files beside it |
//! | for a base of the repository: its content, that is file-system layers and configuration without dates | its id, its tags, when and why it was built |
//! | for a base from outside: its reference, and the digest of its platform's manifest (that a registry or the lock file tells), else the id the engine has for it | the digest of an index, which moves when another architecture arrives; bases of stages not reached |
//! | for a named context that is an image: that image, as if the Dockerfile named it | its name; contexts that nothing names |
//! | for an image of an OCI layout: the digest of its platform's manifest | the folder it lies in, its tag there, other images there |
//! | for one that is files: the files that are read of it, as of the context, under its name | the folder, address or commit that they come from |
//! | for `ADD` of an address: its checksum, else the server's validators or the content; of a git repository: the commit | where the bytes came from, when |
//! | platform; network, names of more hosts, limits and `/dev/shm` of `RUN`; labels and annotations asked for; builder, version of this table | addresses of those hosts; tags, descriptions, names, today's commit, clock, user, machine |
//!
//! Where imk must choose between a needless build and a stale image it builds:
//! changing the network is such a choice. So are arguments, variables and users of a
//! stage that is only copied from, used there or not, and how it spells what it
//! copies (`./f` for `f`); a link that is pointed to another place with the same content;
//! a folder renamed that only a wildcard names (`COPY */x /`); and what a stage reads of which the next one
//! copies only a part. An argument's value that nothing uses is no such choice: today's
//! BuildKit writes it into the image's history, and so makes another image.
//!
//! `tests/it/differential.rs` compares all this with a real engine. Where an engine of
//! 20.10 was found wrong, imk follows what BuildKit does today: ignore rules
//! (`client.rs` there), links that lead through links (`old_cache.rs`), and what the
//! history tells of arguments (defaults only, given or not).

use super::Db;
use super::graph::bases;
use super::inputs::{Context, Exact, Image, Options, OutsideBase, Workspace};
use super::names::{self, Found};
use super::problem::Problem;
use super::recipe::recipe;
use crate::model::hash::ContentHash;
use crate::model::name;
use crate::model::part::{self, Part};
use crate::model::reason::Code;
use crate::model::sandbox::Sandbox;
use crate::source::tree::Selected;
use crate::syntax::git_source;
use crate::syntax::layout_source;
use crate::syntax::reads::ReadSource;
use crate::syntax::resolve::{Recipe, StageBase};

/// Raised when a line of the table above changes its meaning.
pub const KEY_VERSION: &str = "2";

/// The hash of everything that counts of an image, bases of the repository left out.
///
/// # Errors
/// Every mistake of its Dockerfile and everything missing from its context.
#[salsa::tracked(persist, returns(clone))]
pub fn input_hash(db: &dyn Db, image: Image) -> Result<ContentHash, Vec<Problem>> {
    parts(db, image).map(|parts| part::hash("imk spec v1", &parts))
}

/// The parts behind [`input_hash`]. Not a query: it is wanted only for a new hash or for an explanation.
///
/// # Errors
/// As [`input_hash`].
pub fn parts(db: &dyn Db, image: Image) -> Result<Vec<Part>, Vec<Problem>> {
    let recipe = recipe(db, image).as_ref().map_err(Clone::clone)?;
    let files = files(db, image, recipe)?;
    let refused = refused(db, image, recipe);
    if !refused.is_empty() {
        return Err(refused);
    }
    let mut parts = known_parts(db, image, recipe);
    if !recipe.reads_nothing() {
        parts.push(Part::new(Code::File, "files", files.to_string()));
    }
    Ok(parts)
}

/// The parts that are known whatever the files are.
pub fn known_parts(db: &dyn Db, image: Image, recipe: &Recipe) -> Vec<Part> {
    let workspace = Workspace::get(db);
    // Arguments, contexts and the target count by what the recipe makes of them, the policy by the image it leads to.
    let Options {
        target: _,
        args: _,
        source_date_epoch: _,
        contexts: _,
        labels,
        platform,
        network,
        sandbox,
        annotations,
        upstream: _,
    } = image.options(db);
    let platform = platform.as_deref().unwrap_or(workspace.platform(db));
    let mut parts = vec![
        Part::new(Code::Builder, "key version", KEY_VERSION),
        Part::new(Code::Builder, "builder", builder(workspace.builder_kind(db))),
        Part::new(Code::Config, "platform", platform),
    ];
    if let Some(network) = network {
        parts.push(Part::new(Code::Config, "network", network));
    }
    for (label, value) in labels {
        parts.push(Part::new(Code::Config, format!("label {label}"), value));
    }
    for (annotation, value) in annotations {
        parts.push(Part::new(Code::Config, format!("annotation {annotation}"), value));
    }
    parts.extend(of_sandbox(sandbox));
    for (arg, value) in &recipe.args {
        parts.push(Part::new(Code::Arg, arg, value.as_deref().unwrap_or("(unset)")));
    }
    let known = workspace.outside(db);
    let layouts = layouts(recipe);
    for base in &bases(db, image).outside {
        let exact = match known.get(base).map(|outside| &outside.exact) {
            Some(Exact::Digest(exact) | Exact::Local(exact)) => exact,
            Some(Exact::Unknown | Exact::Refused { .. }) | None => "by name",
        };
        let name = layout_name(&layouts, &base.reference).unwrap_or_else(|| base.reference.clone());
        let name = if base.platform == platform { name } else { format!("{name} for {}", base.platform) };
        parts.push(Part::new(Code::Upstream, name, exact));
    }
    for remote in recipe.remotes.iter().filter(|remote| remote.checksum.is_none()) {
        let code = if remote.git { Code::Git } else { Code::Upstream };
        let state = workspace.remotes(db).get(&remote.url).map_or("by address", String::as_str);
        parts.push(Part::new(code, git_source::masked(&remote.url), state));
    }
    parts.extend(dockerfile(db, image, recipe).into_iter().map(|line| Part::new(Code::Dockerfile, "", line)));
    for part in &mut parts {
        if let Some(value) = without_passwords(&part.value) {
            part.value = value;
        }
    }
    parts
}

/// The surroundings of `RUN` steps, where something is said of them.
fn of_sandbox(sandbox: &Sandbox) -> Vec<Part> {
    // As BuildKit's own cache has it, a host's name counts and its address does not.
    let hosts = sandbox.hosts.keys().map(|host| (format!("host {host}"), "added".to_owned()));
    let shm = sandbox.shm_size_bytes.map(|bytes| ("shm_size".to_owned(), bytes.to_string()));
    let limits = sandbox
        .ulimits
        .iter()
        .map(|(name, (soft, hard))| (format!("ulimit {name}"), format!("{soft}:{hard}")));
    hosts.chain(shm).chain(limits).map(|(name, value)| Part::new(Code::Config, name, value)).collect()
}

/// A value without the passwords of the addresses in it, since parts are kept and shown. That
/// they changed still counts, by so little of a hash that nobody finds them by it.
fn without_passwords(value: &str) -> Option<String> {
    let masked = git_source::masked(value);
    let which = ContentHash::of(value.as_bytes());
    (masked != value).then(|| format!("{masked} (passwords {})", which.short(8)))
}

/// Which builder, without how its engine keeps images: that changes ids and not images.
fn builder(kind: &str) -> &str {
    kind.split('/').next().unwrap_or(kind)
}

/// The OCI layouts among the bases, each once, in the order of the Dockerfile.
fn layouts(recipe: &Recipe) -> Vec<&str> {
    let mut found: Vec<&str> = Vec::new();
    for base in recipe.bases.iter().filter(|base| layout_source::is(&base.reference)) {
        if !found.contains(&base.reference.as_str()) {
            found.push(&base.reference);
        }
    }
    found
}

/// The name of a layout in a key: it counts by what is in it, and neither by where it lies nor by its tag.
fn layout_name(layouts: &[&str], reference: &str) -> Option<String> {
    let number = layouts.iter().position(|layout| *layout == reference)?;
    Some(if layouts.len() == 1 { "OCI layout".to_owned() } else { format!("OCI layout {}", number + 1) })
}

/// The bases that cannot be had.
fn refused(db: &dyn Db, image: Image, recipe: &Recipe) -> Vec<Problem> {
    let known = Workspace::get(db).outside(db);
    let problem = |base: &OutsideBase| {
        let Exact::Refused { why, hint } = &known.get(base)?.exact else { return None };
        let used = recipe.bases.iter().find(|used| used.reference == base.reference);
        Some(Problem {
            path: image.paths(db).dockerfile.clone(),
            span: used.and_then(|used| used.spans.first().copied()),
            message: format!("cannot build on `{}`: {why}", base.reference),
            hint: Some(hint.clone()),
        })
    };
    bases(db, image).outside.iter().filter_map(problem).collect()
}

/// The lines of the Dockerfile that count. Bases are told by number, so that
/// how a reference is spelled does not count, and named once in that order.
fn dockerfile(db: &dyn Db, image: Image, recipe: &Recipe) -> Vec<String> {
    let mut lines = vec![format!("escape {}", recipe.escape)];
    lines.extend(recipe.syntax.iter().map(|syntax| format!("syntax {syntax}")));
    let layouts = layouts(recipe);
    for (number, base) in recipe.bases.iter().enumerate() {
        if base.context {
            lines.push(format!("base {number} is the files of {}", base.reference));
            continue;
        }
        let name = match names::find(db, image, &base.reference, &base.platform) {
            Found::Image(found) | Found::OtherPlatform(found) => {
                format!("image {}", name::declared(found.name(db)))
            }
            Found::Outside => {
                layout_name(&layouts, &base.reference).unwrap_or_else(|| base.reference.clone())
            }
        };
        lines.push(format!("base {number} is {name} for {}", base.platform));
    }
    for stage in &recipe.stages {
        lines.push(match stage.base {
            StageBase::Scratch => format!("FROM scratch for {}", stage.platform),
            StageBase::Stage(stage_number) => format!("FROM stage {stage_number} for {}", stage.platform),
            StageBase::Base(base) => format!("FROM base {base} for {}", stage.platform),
        });
        lines.extend(stage.instructions.iter().map(|instruction| instruction.text.clone()));
    }
    lines
}

fn files(db: &dyn Db, image: Image, recipe: &Recipe) -> Result<ContentHash, Vec<Problem>> {
    let paths = image.paths(db);
    let folder = match paths.context.as_str() {
        "" => "the repository's root",
        path => path,
    };
    match image.context(db) {
        Context::Is(selected) if selected.missing.is_empty() => Ok(selected.hash),
        Context::Is(selected) => Err(missing(db, image, recipe, selected)),
        Context::Absent => Err(vec![Problem::of(
            &paths.context,
            format!("the context of image `{}` is missing: there is no folder `{folder}`", image.name(db)),
            "make it, or point `context` in Imagefile.ron to where it is",
        )]),
        Context::Unreadable(error) => Err(vec![Problem::of(
            &error.path,
            format!("cannot read the context of image `{}`: {}", image.name(db), error.why),
            "every file that an instruction copies must be readable",
        )]),
        Context::Refused(problem) => Err(vec![problem.clone()]),
        Context::Unread if recipe.reads_nothing() => Ok(ContentHash::default()),
        Context::Unread => Err(vec![Problem::of(
            &paths.context,
            format!("the context of image `{}` was not read", image.name(db)),
            "this is a mistake in imk: please report it",
        )]),
    }
}

/// A problem for each source that a context does not have.
fn missing(db: &dyn Db, image: Image, recipe: &Recipe, selected: &Selected) -> Vec<Problem> {
    let paths = image.paths(db);
    let folder = if paths.context.is_empty() { "the repository's root" } else { &paths.context };
    let wanted: Vec<(Option<&str>, &ReadSource)> = recipe.all_reads().collect();
    let found = selected.missing.iter().filter_map(|index| wanted.get(*index));
    let problem = |(context, source): &(Option<&str>, &ReadSource)| {
        let (place, which) = match context {
            Some(name) => (format!("context `{name}`"), format!("`contexts` says what `{name}` is")),
            None => ("context".to_owned(), format!("the context is `{folder}`")),
        };
        Problem {
            path: paths.dockerfile.clone(),
            span: Some(source.span),
            message: nothing_found(source, &format!("{place} of image `{}`", image.name(db))),
            hint: Some(format!("{which}; is the path right, or does an ignore file hide it?")),
        }
    };
    found.map(problem).collect()
}

/// The words for a source that finds nothing there.
fn nothing_found(source: &ReadSource, place: &str) -> String {
    if !source.pattern.is_empty() || source.include.as_deref().is_some_and(|include| !include.is_empty()) {
        return format!("there is no `{}` in the {place}", source.shown());
    }
    match source.include {
        None => format!(
            "a link at the top of the {place} leads nowhere, and builders follow it where `--exclude` leaves anything out"
        ),
        Some(_) => "`COPY --parents .` copies nothing: name what is in the context, as in `*`".to_owned(),
    }
}

/// The action key: everything that can change an image for `platform`, bases included. A base for the same
/// platform counts by its declared name: whether that has more platforms beside makes no difference.
pub fn action_key(platform: &str, input_hash: &ContentHash, bases: &[Part]) -> ContentHash {
    let mut parts = vec![Part::new(Code::Config, "spec", input_hash.to_string())];
    parts.extend(bases.iter().cloned().map(|base| match name::platform_of(&base.name) {
        Some(of_base) if of_base == platform => Part { name: name::declared(&base.name).to_owned(), ..base },
        _ => base,
    }));
    part::hash("imk action v1", &parts)
}

/// The platform that an image is for.
pub fn platform(db: &dyn Db, image: Image) -> &str {
    image.options(db).platform.as_deref().unwrap_or(Workspace::get(db).platform(db))
}

/// See `snapshot.rs`.
pub(super) fn prime(db: &dyn Db, zalsa: &salsa::plumbing::Zalsa) {
    let _ = input_hash::fn_ingredient_(db, zalsa);
}

#[cfg(test)]
mod tests {
    use super::without_passwords;

    #[test]
    fn a_password_in_an_address_counts_and_is_not_kept() {
        let part = |password: &str| without_passwords(&format!("ADD https://u:{password}@h/x /")).unwrap();
        assert!(
            part("hunter2").starts_with("ADD https://*********@h/x / (passwords "),
            "{}",
            part("hunter2")
        );
        assert_ne!(part("hunter2"), part("hunter3"));
        assert_eq!(part("hunter2"), part("hunter2"));
        assert_eq!(without_passwords("ADD https://h/x@1 /"), None);
    }
}
