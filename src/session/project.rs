//! The images of a repository: declared in its Imagefile, or discovered.
//!
//! `discovered_names` has the naming rule of discovered images. Reads no Dockerfile: what an
//! image is made of is for the queries.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use crate::model::name;
use crate::model::output::Outputs;
use crate::query::inputs::{Options, Paths};
use crate::query::problem::Problem;
use crate::session::context_meanings;
pub use crate::session::declared::Declared;
use crate::session::discovered_names;
use crate::source::locate::{IMAGEFILE, Located};
use crate::source::tree::{ReadError, SourceTree};
use crate::syntax::container::Profile;
use crate::syntax::error::Span;
use crate::syntax::imagefile::{self, Declaration, DeclaredCaches, DeclaredEngine, RenamedKey, Setting};
use crate::syntax::lockfile::{self, Lockfile};
use crate::syntax::on_publish::OnPublish;
use crate::syntax::reference::{self, Reference, normalized};
use crate::syntax::suggest::did_you_mean;
use crate::syntax::tag::{TagRule, Template};

/// The beginning of content tags unless the Imagefile says otherwise.
const CONTENT_TAG: &str = "imk-";

/// The images of a repository, as a person declared them or as they were found.
#[derive(Clone, Debug, Default)]
pub struct Project {
    /// All paths are below this folder.
    pub root: PathBuf,
    /// The Imagefile's name, if there is one.
    pub imagefile: Option<String>,
    /// The meanings of names outside, if the repository has a lock file.
    pub lock: Lockfile,
    /// Prefixes that a base's name may begin with: the one in force, and the one the Imagefile declares.
    pub prefixes: Vec<String>,
    /// The beginning of the tags that stand for action keys.
    pub content_tag: String,
    /// The repository that keeps the log of releases, where the Imagefile names one.
    pub releases: Option<String>,
    /// Receipts of tests that stand beside published images count.
    pub believes_registry: bool,
    /// Commands and notices around a publication.
    pub on_publish: OnPublish,
    /// The words that bare `imk` means; everything when empty.
    pub default: Vec<String>,
    /// The variables that the Imagefile declares.
    pub vars: Vec<String>,
    /// Variables of the environment that it does not declare.
    pub unused_vars: BTreeSet<String>,
    /// Groups and their members.
    pub groups: BTreeMap<String, Vec<String>>,
    /// Engines that the Imagefile declares, by name.
    pub engines: BTreeMap<String, DeclaredEngine>,
    /// The images by name; of a name for several platforms each by that name and its platform.
    pub images: BTreeMap<String, Declared>,
    /// The platforms that were typed: of names for several platforms, these alone are meant.
    pub asked_platforms: Vec<String>,
    /// The Imagefile's first key that is written by a name it no longer has, with its line.
    pub renamed_key: Option<(RenamedKey, usize)>,
}

/// Additions of the caller to the Imagefile.
#[derive(Clone, Debug, Default)]
pub struct Overrides {
    /// Values of variables.
    pub vars: BTreeMap<String, String>,
    /// The variables among them that were typed: one that nobody declares is a mistake.
    pub typed_vars: BTreeSet<String>,
    /// Build arguments for every image that declares them.
    pub args: BTreeMap<String, String>,
    /// `SOURCE_DATE_EPOCH` of the environment.
    pub source_date_epoch: Option<String>,
    /// Keys of images, written over what the Imagefile declares.
    pub settings: Vec<Setting>,
    /// Named contexts of every image, as docker writes them.
    pub contexts: context_meanings::TypedContexts,
    /// Rights of steps that the user agrees to.
    pub allowed: BTreeSet<String>,
    /// Agents and keys for the steps of every image, by id.
    pub ssh: BTreeMap<String, Vec<String>>,
    /// The platforms of every image.
    pub platforms: Vec<String>,
    /// The prefix, whatever the Imagefile says.
    pub prefix: Option<String>,
    /// The stage to build of the images that are asked for.
    pub target: Option<String>,
    /// The text of an Imagefile that is taken whatever files there are.
    pub imagefile: Option<String>,
    /// Tags of the images that are asked for, whatever they declare.
    pub tags: Vec<String>,
    /// The number of this build, whatever CI says.
    pub build_number: Option<String>,
    /// The commit whose files are looked at, if they are not those of the work tree.
    pub commit: Option<String>,
}

/// Why there is no project.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ProjectError {
    /// The Imagefile cannot be read.
    Unreadable(ReadError),
    /// The Imagefile, or what was discovered, has mistakes.
    Mistakes(Vec<Problem>),
    /// There is neither an Imagefile nor a Dockerfile.
    Nothing { root: PathBuf },
}

/// Reads the Imagefile, or discovers Dockerfiles with `discover`.
///
/// # Errors
/// See [`ProjectError`]; all mistakes are told together.
pub fn read(
    located: &Located,
    tree: &dyn SourceTree,
    discover: impl FnOnce() -> Result<Vec<String>, ReadError>,
    overrides: &Overrides,
) -> Result<Project, ProjectError> {
    let given = overrides.imagefile.as_ref().map(|_| IMAGEFILE.to_owned());
    let mut project = match given.as_ref().or(located.imagefile.as_ref()) {
        Some(file) => declared(file, tree, overrides)?,
        None => {
            not_by_another_name(tree)?;
            if let Some(name) = overrides.typed_vars.first() {
                let message = format!("no variable `{name}`: there is no Imagefile to declare one");
                let hint = "`imk init` writes one; a build argument is set by --build-arg";
                return Err(ProjectError::Mistakes(vec![Problem::of("", message, hint)]));
            }
            if let Some(setting) = overrides.settings.first() {
                let message =
                    format!("--set {}.…: there is no Imagefile whose keys could be set", setting.images);
                let problem = Problem::of("", message, "`imk init` writes one");
                return Err(ProjectError::Mistakes(vec![problem]));
            }
            discovered(located, &discover().map_err(ProjectError::Unreadable)?, overrides)?
        }
    };
    project.lock = locked(&lock_path(located.imagefile.as_deref()), tree)?;
    project.root.clone_from(&located.root);
    project.imagefile.clone_from(&located.imagefile);
    for image in project.images.values_mut() {
        image.options.args.extend(overrides.args.clone());
        image.options.source_date_epoch.clone_from(&overrides.source_date_epoch);
        image.ssh.extend(overrides.ssh.clone());
    }
    let mistakes = context_meanings::add_typed(&mut project.images, &project.root, &overrides.contexts);
    if !mistakes.is_empty() {
        return Err(ProjectError::Mistakes(mistakes));
    }
    let images = std::mem::take(&mut project.images).into_iter();
    project.images = images.flat_map(|(name, image)| image.for_each(name, &overrides.platforms)).collect();
    project.asked_platforms.clone_from(&overrides.platforms);
    Ok(project)
}

/// An Imagefile in another language, or without its ending, is there and not absent.
fn not_by_another_name(tree: &dyn SourceTree) -> Result<(), ProjectError> {
    for name in ["Imagefile", "Imagefile.yaml", "Imagefile.yml", "Imagefile.toml", "Imagefile.json"] {
        if tree.read(name).map_err(ProjectError::Unreadable)?.is_some() {
            let hint = "name it Imagefile.ron and write RON, such as (images: {\"web\": (context: \"web\")}); `imk init` writes one";
            let problem =
                Problem::of(name, format!("`{name}` is not read: an Imagefile is `{IMAGEFILE}`"), hint);
            return Err(ProjectError::Mistakes(vec![problem]));
        }
    }
    Ok(())
}

/// Variables that were typed and that the Imagefile does not declare.
fn unknown_vars(declared: &[String], overrides: &Overrides) -> Vec<Problem> {
    let unknown = overrides.typed_vars.iter().filter(|name| !declared.contains(name));
    let problem = |name: &String| {
        let near = did_you_mean(name, declared.iter().map(String::as_str));
        let hint = near.unwrap_or_else(|| match declared {
            [] => "it declares none; `vars: {\"NAME\": \"default\"}` does; a build argument is set by --build-arg".into(),
            some => format!("it declares {}; a build argument is set by --build-arg", some.join(", ")),
        });
        Problem::of("", format!("the Imagefile declares no variable `{name}`"), hint)
    };
    unknown.map(problem).collect()
}

/// Settings that were typed for images that are not there.
fn unmet(parsed: &imagefile::Imagefile) -> Vec<Problem> {
    let names = || parsed.images.iter().map(|image| image.name.text.as_str());
    let problem = |pattern: &String| {
        let hint = did_you_mean(pattern, names()).unwrap_or_else(|| "`imk list` shows all images".into());
        Problem::of("", format!("--set: no image here is named `{pattern}`"), hint)
    };
    parsed.unmet_settings.iter().map(problem).collect()
}

/// Where the lock file of an Imagefile is, or that of discovered Dockerfiles.
pub fn lock_path(imagefile: Option<&str>) -> String {
    let imagefile = imagefile.unwrap_or(IMAGEFILE);
    format!("{}.lock", imagefile.strip_suffix(".ron").unwrap_or(imagefile))
}

fn locked(path: &str, tree: &dyn SourceTree) -> Result<Lockfile, ProjectError> {
    let Some(bytes) = tree.read(path).map_err(ProjectError::Unreadable)? else {
        return Ok(Lockfile::default());
    };
    let in_file = |error| Problem::in_file(path, error);
    lockfile::read(&String::from_utf8_lossy(&bytes))
        .map_err(|errors| ProjectError::Mistakes(errors.into_iter().map(in_file).collect()))
}

/// The text of the Imagefile: one that was given, else the file.
fn text_of(file: &str, tree: &dyn SourceTree, overrides: &Overrides) -> Result<String, ProjectError> {
    if let Some(text) = &overrides.imagefile {
        return Ok(text.clone());
    }
    let gone = || ReadError { path: file.to_owned(), why: "it is not there".into() };
    let bytes = tree.read(file).and_then(|bytes| bytes.ok_or_else(gone)).map_err(ProjectError::Unreadable)?;
    String::from_utf8(bytes).map_err(|error| {
        let at = error.utf8_error().valid_up_to();
        let problem = Problem {
            path: file.to_owned(),
            span: Some(Span::new(at, at)),
            message: "the Imagefile is not UTF-8 text".into(),
            hint: Some("save it as UTF-8".into()),
        };
        ProjectError::Mistakes(vec![problem])
    })
}

fn declared(file: &str, tree: &dyn SourceTree, overrides: &Overrides) -> Result<Project, ProjectError> {
    let text = text_of(file, tree, overrides)?;
    let in_file = |error| Problem::in_file(file, error);
    let parsed = imagefile::read_with(&text, &overrides.vars, &overrides.settings).map_err(|errors| {
        let other = imagefile::other_language(&text).map(|error| vec![error]);
        ProjectError::Mistakes(other.unwrap_or(errors).into_iter().map(in_file).collect())
    })?;
    let mut unknown = unknown_vars(&parsed.vars, overrides);
    unknown.extend(unmet(&parsed));
    if !unknown.is_empty() {
        return Err(ProjectError::Mistakes(unknown));
    }
    let prefix = overrides.prefix.as_ref().unwrap_or(&parsed.prefix);
    let mut problems = Vec::new();
    let mut images = BTreeMap::new();
    for declaration in &parsed.images {
        match dockerfile_of(declaration, file, tree) {
            Ok(dockerfile) => {
                images.insert(declaration.name.text.clone(), declare(declaration, dockerfile, prefix));
            }
            Err(error) => problems.push(Problem::of(&error.path, error.why, "imk must be able to read it")),
        }
    }
    if !problems.is_empty() {
        return Err(ProjectError::Mistakes(problems));
    }
    let texts = |words: &[imagefile::Word]| words.iter().map(|word| word.text.clone()).collect();
    Ok(Project {
        releases: parsed.releases.as_ref().map(|at| at.text.clone()),
        believes_registry: parsed.believes_registry,
        on_publish: parsed.on_publish,
        content_tag: parsed.content_tag.clone().unwrap_or_else(|| CONTENT_TAG.to_owned()),
        prefixes: [prefix, &parsed.prefix].into_iter().filter(|p| !p.is_empty()).cloned().collect(),
        default: texts(&parsed.default),
        groups: parsed.groups.iter().map(|(name, words)| (name.clone(), texts(words))).collect(),
        unused_vars: overrides.vars.keys().filter(|name| !parsed.vars.contains(name)).cloned().collect(),
        vars: parsed.vars,
        engines: parsed.engines,
        renamed_key: parsed.renamed_keys.first().map(|key| (key.clone(), key.span.line_and_column(&text).0)),
        images,
        ..Project::default()
    })
}

/// The declared Dockerfile, else the one in the context. One that stands in the Imagefile has a name like `Imagefile.ron#web`. When neither name is
/// there, `Dockerfile` is the one that is told to be missing.
fn dockerfile_of(
    declaration: &Declaration,
    imagefile: &str,
    tree: &dyn SourceTree,
) -> Result<String, ReadError> {
    if declaration.dockerfile_inline.is_some() {
        return Ok(format!("{imagefile}#{}", declaration.name.text));
    }
    if declaration.git.is_some() {
        // Whether it is a Containerfile shows when the repository has been asked.
        let name = declaration.dockerfile.as_ref().map_or("Dockerfile", |word| &word.text);
        return Ok(name::join(&declaration.context.text, name));
    }
    if let Some(declared) = &declaration.dockerfile {
        return Ok(declared.text.clone());
    }
    let dockerfile = name::join(&declaration.context.text, "Dockerfile");
    let containerfile = name::join(&declaration.context.text, "Containerfile");
    let other = !tree.is_file(&dockerfile)? && tree.is_file(&containerfile)?;
    Ok(if other { containerfile } else { dockerfile })
}

fn declare(declaration: &Declaration, dockerfile: String, prefix: &str) -> Declared {
    let name = &declaration.name.text;
    Declared {
        paths: Paths { dockerfile, context: declaration.context.text.clone() },
        dockerfile_inline: declaration.dockerfile_inline.clone(),
        platforms: declaration.platforms.clone(),
        options: Options {
            target: declaration.target.as_ref().map(|target| target.text.clone()),
            args: declaration.args.clone(),
            source_date_epoch: None,
            contexts: context_meanings::meanings(declaration),
            labels: declaration.labels.clone(),
            platform: None,
            network: declaration.network.clone(),
            sandbox: declaration.sandbox.clone(),
            annotations: declaration.annotations.clone(),
            upstream: declaration.upstream,
        },
        repository: format!("{prefix}{}", name::split(name).0),
        tags: declaration.tags.clone(),
        any_tag: declaration.any_tag,
        publish: declaration.publish.clone(),
        secrets: declaration.secrets.clone(),
        git: declaration.git.clone(),
        context_span: Some(declaration.context.span),
        overlays: declaration.overlays.clone(),
        context_files: context_meanings::files(declaration),
        own_contexts: context_meanings::own(declaration),
        engine_labels: declaration.engine_labels.clone(),
        cache: declaration.cache.clone(),
        outputs: declaration.outputs.clone(),
        declared_outputs: declaration.outputs.clone(),
        ssh: declaration.ssh.clone(),
        no_cache_filter: declaration.no_cache_filter.clone(),
        index_annotations: declaration.index_annotations.clone(),
        entitlements: declaration.entitlements.clone(),
        run: declaration.run.clone(),
        tests: declaration.tests.clone(),
        description: declaration.description.clone(),
        span: Some(declaration.name.span),
        choice: declaration.choice.clone(),
    }
}

/// Images for discovered Dockerfiles, given by path. The context is the Dockerfile's folder.
fn discovered(located: &Located, paths: &[String], overrides: &Overrides) -> Result<Project, ProjectError> {
    if paths.is_empty() {
        return Err(ProjectError::Nothing { root: located.root.clone() });
    }
    let root = located.root.file_name().map(|name| name.to_string_lossy().into_owned());
    let names = discovered_names::of(paths, &root.unwrap_or_default());
    let prefix = overrides.prefix.clone().unwrap_or_default();
    let mut project =
        Project { prefixes: vec![prefix.clone()], content_tag: CONTENT_TAG.to_owned(), ..Project::default() };
    for (path, name) in paths.iter().zip(names) {
        let folder = path.rsplit_once('/').map_or("", |(folder, _)| folder);
        let declared = Declared {
            options: Options::default(),
            paths: Paths { dockerfile: path.clone(), context: folder.to_owned() },
            dockerfile_inline: None,
            platforms: Vec::new(),
            repository: format!("{prefix}{name}"),
            tags: vec![TagRule { when: None, template: Template::plain("latest"), span: Span::default() }],
            any_tag: false,
            publish: None,
            secrets: BTreeMap::new(),
            git: None,
            context_span: None,
            overlays: Vec::new(),
            context_files: BTreeMap::new(),
            own_contexts: BTreeSet::new(),
            engine_labels: Vec::new(),
            cache: DeclaredCaches::default(),
            outputs: Outputs::default(),
            declared_outputs: Outputs::default(),
            ssh: BTreeMap::new(),
            no_cache_filter: Vec::new(),
            index_annotations: BTreeMap::new(),
            entitlements: Vec::new(),
            run: Profile::default(),
            tests: BTreeMap::new(),
            description: None,
            span: None,
            choice: BTreeMap::new(),
        };
        project.images.insert(name, declared);
    }
    Ok(project)
}

/// Where images are published: those whose name begins with a registry. A name like `team/app`,
/// which docker takes for the Hub's, does not ask for it.
pub fn repositories(project: &Project) -> BTreeMap<String, Reference> {
    let published = |(name, image): (&String, &Declared)| {
        let (host, _) = image.repository.split_once('/')?;
        let is_host = host == "localhost" || host.contains(['.', ':']);
        let parsed = reference::parse(&image.repository).ok().filter(|_| is_host)?;
        Some((name.clone(), Reference { tag: None, ..parsed }))
    };
    project.images.iter().filter_map(published).collect()
}

/// The names a person can use, for messages and completion.
pub fn names(project: &Project) -> BTreeSet<String> {
    project.images.keys().cloned().collect()
}

/// The repositories of tags that imk gives images of these names, normalized.
pub fn repositories_of(project: &Project, images: &BTreeSet<String>) -> BTreeSet<String> {
    let declared = |name: &String| project.images.get(name).map(|image| image.repository.clone());
    let prefixes = || project.prefixes.iter().map(String::as_str).chain([""]);
    images
        .iter()
        .flat_map(|name| match declared(name) {
            Some(repository) => vec![repository],
            None => prefixes().map(|prefix| format!("{prefix}{}", name::split(name).0)).collect(),
        })
        .map(|repository| normalized(&repository))
        .collect()
}
