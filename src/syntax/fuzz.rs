//! The readers of what people write, under any bytes: see `crate::fuzz`.

use std::collections::BTreeMap;

use super::error::SyntaxError;
use super::import::{self, Source};
use super::{
    dockerfile as docker, dockerignore as ignore, git_source, glob, imagefile as image, integration,
    lockfile as lock,
};
use super::{reference, resolve, serve, tag};

/// Readers of text are handed text: who opens a file tells of one that is none.
fn text(bytes: &[u8]) -> Option<&str> {
    std::str::from_utf8(bytes).ok()
}

#[track_caller]
fn errors_lie_inside(errors: &[SyntaxError], text: &str) {
    assert!(!errors.is_empty(), "a refusal says why");
    for error in errors {
        assert!(text.get(error.span.start..error.span.end).is_some(), "{error:?} lies outside");
        let _ = error.span.line_and_column(text);
    }
}

/// Dockerfiles are read, resolved and pinned; places stay inside the text and lines keep their number.
pub(crate) fn dockerfile(bytes: &[u8]) {
    let Some(text) = text(bytes) else { return };
    let _ = docker::parse_trigger(text);
    let file = match docker::parse(text) {
        Ok(file) => file,
        Err(errors) => return errors_lie_inside(&errors, text),
    };
    let request = resolve::Request::default();
    let recipe = match resolve::resolve(&file, &request) {
        Ok(recipe) => recipe,
        Err(errors) => return errors_lie_inside(&errors, text),
    };
    assert_eq!(resolve::resolve(&file, &request).map(|again| again.canonical()), Ok(recipe.canonical()));
    for span in recipe.bases.iter().flat_map(|base| &base.spans) {
        assert!(text.get(span.start..span.end).is_some());
    }
    let pinned = recipe.pinned(text, |_| Some("localhost/pinned:1".into()));
    assert_eq!(pinned.matches('\n').count(), text.matches('\n').count());
}

/// A folder that need not be walked holds nothing that is kept. The first line is a path, the rest the file.
pub(crate) fn dockerignore(bytes: &[u8]) {
    let Some((path, text)) = text(bytes).and_then(|text| text.split_once('\n')) else { return };
    let file = match ignore::parse(text) {
        Ok(file) => file,
        Err(errors) => return errors_lie_inside(&errors, text),
    };
    let ignored = file.matches(path);
    // Each question takes pattern × path for every folder on the way: no file system has deeper ones.
    for (at, _) in path.match_indices('/').take(40) {
        assert!(ignored || !file.can_skip(&path[..at]), "{:?} may be skipped", &path[..at]);
    }
}

/// Steps stay below the root of their checkout, and mistakes have places in the text.
pub(crate) fn integration_yml(bytes: &[u8]) {
    let Some(text) = text(bytes) else { return };
    let read = match integration::read(text) {
        Ok(read) => read,
        Err(errors) => return errors_lie_inside(&errors, text),
    };
    assert!(!read.steps.is_empty(), "a file without steps is a mistake");
    for step in &read.steps {
        let is_below = !step.cwd.starts_with('/') && step.cwd.split('/').all(|part| part != "..");
        assert!(is_below, "{:?} leads out", step.cwd);
    }
    assert_eq!(integration::read(text), Ok(read));
}

/// Settings that are read name what is there, and paths in repositories stay there.
pub(crate) fn serve_ron(bytes: &[u8]) {
    let Some(text) = text(bytes) else { return };
    let read = match serve::read(text) {
        Ok(read) => read,
        Err(errors) => return errors_lie_inside(&errors, text),
    };
    for repository in read.repositories.values() {
        let login = repository.credentials.as_ref();
        assert!(login.is_none_or(|name| read.credentials.contains_key(name)));
        assert!(repository.notify.iter().all(|name| read.notify.contains_key(name)));
        assert!(git_source::url(&repository.url).is_ok());
        let path = repository.imagefile.as_deref().unwrap_or("a");
        assert!(!path.starts_with(['/', '-']) && path.split('/').all(|part| part != ".."), "{path}");
    }
    assert_eq!(serve::read(text), Ok(read));
}

/// Invariant: a text that was put in order means the same, and is in order still.
pub(crate) fn imagefile(bytes: &[u8]) {
    let Some(text) = text(bytes) else { return };
    let vars = BTreeMap::new();
    let read = match image::read(text, &vars) {
        Ok(read) => read,
        Err(errors) => return errors_lie_inside(&errors, text),
    };
    let formatted = image::format::format(text, &vars).expect("what can be read can be laid out");
    let again = image::read(&formatted, &vars);
    let names =
        |file: &image::Imagefile| file.images.iter().map(|image| image.name.text.clone()).collect::<Vec<_>>();
    assert_eq!(again.as_ref().map(names), Ok(names(&read)), "{formatted}");
    assert_eq!(image::format::format(&formatted, &vars), Ok(formatted));
}

/// A lock file that is read is written so that it is read as the same.
pub(crate) fn lockfile(bytes: &[u8]) {
    let Some(text) = text(bytes) else { return };
    match lock::read(text) {
        Ok(file) => assert_eq!(lock::read(&file.text()), Ok(file)),
        Err(errors) => errors_lie_inside(&errors, text),
    }
}

/// Names of images, addresses of git, templates of tags and wildcards, a line each.
pub(crate) fn names(bytes: &[u8]) {
    let Some(text) = text(bytes) else { return };
    for line in text.lines().take(50) {
        if let Ok(name) = reference::parse(line) {
            assert_eq!(reference::parse(&name.to_string()), Ok(name.clone()));
            let _ = (name.familiar(), reference::normalized(line));
        }
        if let Ok(source) = git_source::parse(line) {
            // A path of this machine is joined to the repository's own before git sees it.
            let local = source.url.scheme == git_source::Scheme::Local;
            assert!(local || !source.url.address.starts_with('-'), "git would take it for an option");
            assert!(!source.subdir.split('/').any(|part| part == ".."), "it leads out of the repository");
        }
        let _ = (git_source::masked(line), git_source::is_remote(line));
        if let Ok(template) = tag::Template::parse(line, |_| Some("v"), &["V"]) {
            let _ = template.facts().count();
        }
        if let Some((pattern, name)) = line.split_once(' ') {
            let _ = glob::matches(pattern, name);
        }
    }
}

/// Invariant: the Imagefile made of another builder's file can be read, and has as many images as was said.
fn import(path: &str, text: &str, dotenv: Option<&str>) {
    let environment = BTreeMap::from([("TAG".to_owned(), "1".to_owned())]);
    let dockerfiles = ["Dockerfile".to_owned(), "web/Dockerfile".to_owned()];
    let source = Source {
        path,
        current: "",
        text,
        overrides: &[],
        environment: &environment,
        dotenv,
        read: &|_| None,
        dockerfiles: &dockerfiles,
        repository: "shop",
    };
    match import::import(&source) {
        Ok(imported) => {
            let read = image::read(&imported.imagefile, &BTreeMap::new());
            let read = read.unwrap_or_else(|errors| panic!("{errors:?} in\n{}", imported.imagefile));
            assert_eq!(read.images.len(), imported.images, "{}", imported.imagefile);
            for note in &imported.notes {
                assert!(text.get(note.span.start..note.span.end).is_some(), "{note:?} lies outside");
            }
        }
        Err(errors) => errors_lie_inside(&errors, text),
    }
}

/// bake's HCL.
pub(crate) fn import_hcl(bytes: &[u8]) {
    if let Some(text) = text(bytes) {
        import("docker-bake.hcl", text, None);
    }
}

/// YAML and JSON: compose, bake's JSON, Shipwright, dobi, Skaffold and lists; which it is shows in its keys.
pub(crate) fn import_yaml(bytes: &[u8]) {
    if let Some(text) = text(bytes) {
        import("compose.yaml", text, None);
        import(".shipwright.json", text, None);
    }
}

/// The `.env` beside a compose file that uses what is in it.
pub(crate) fn import_dotenv(bytes: &[u8]) {
    if let Some(text) = text(bytes) {
        let compose =
            "services: {web: {image: \"web:${A:-1}\", build: {context: \"${B}.\", args: {X: \"$C\"}}}}";
        import("compose.yaml", compose, Some(text));
    }
}
