//! `skaffold.yaml`: the artifacts that are built from a Dockerfile.
//!
//! Deployments, tests and profiles are told, not carried over. An artifact that
//! `requires` another is handed its name in a build argument, as Skaffold does.

use super::draft::{Draft, Drafts, literal};
use super::{Source, place};
use crate::syntax::error::Span;
use crate::syntax::imagefile::SecretSource;
use crate::syntax::yaml::{Node, Shared, Value};

/// Ways to build that need no Dockerfile.
const OTHER_BUILDERS: &[&str] = &["bazel", "buildpacks", "custom", "jib", "ko"];

pub(super) fn read(documents: &[Shared], source: &Source<'_>) -> Drafts {
    let mut drafts = Drafts::default();
    for document in documents {
        for (key, value) in document.entries() {
            match key.text.as_str() {
                "apiVersion" | "kind" | "metadata" => {}
                "build" => build(value, &mut drafts, source),
                "profiles" => {
                    let names: Vec<String> = value
                        .items()
                        .iter()
                        .filter_map(|p| Some(p.get("name")?.text()?.to_owned()))
                        .collect();
                    let what = format!(
                        "profiles {}: an Imagefile has variables and templates instead",
                        names.join(", ")
                    );
                    drafts.lost(key.span, what);
                }
                "requires" => drafts.lost(key.span, "requires: import those files by themselves"),
                other => {
                    drafts.lost(key.span, format!("{other}: imk builds images and does nothing with them"));
                }
            }
        }
    }
    drafts
}

fn build(node: &Node, drafts: &mut Drafts, source: &Source<'_>) {
    let mut of_all = (Vec::new(), node.span);
    for (key, value) in node.entries() {
        match key.text.as_str() {
            "artifacts" => {
                if let Value::List(artifacts) = &value.value {
                    for node in artifacts {
                        artifact(node, drafts, source);
                    }
                }
            }
            "platforms" => of_all = (texts(value), key.span),
            other if !value.is_nothing() => {
                drafts.lost(
                    key.span,
                    format!("build.{other}: imk builds on the engine of DOCKER_HOST and tags as declared"),
                );
            }
            _ => {}
        }
    }
    let of_all = super::bake::platforms("build", &of_all.0, of_all.1, drafts);
    for draft in drafts.images.iter_mut().filter(|draft| draft.platforms.is_empty()) {
        draft.platforms.clone_from(&of_all);
    }
}

fn texts(list: &Shared) -> Vec<String> {
    list.items().iter().filter_map(|one| one.text().map(literal)).collect()
}

fn artifact(node: &Node, drafts: &mut Drafts, source: &Source<'_>) {
    let Some(image) = node.get("image").and_then(|image| image.text()) else {
        return drafts.lost(node.span, "an artifact without an `image`");
    };
    let short = image.rsplit('/').next().unwrap_or(image);
    let mut draft = Draft { name: short.to_owned(), span: node.span, ..Draft::default() };
    draft.references.push((literal(image), node.span));
    let mut context = (".".to_owned(), node.span);
    let mut dockerfile = ("Dockerfile".to_owned(), node.span);
    for (key, value) in node.entries() {
        let other = OTHER_BUILDERS.contains(&key.text.as_str());
        match key.text.as_str() {
            "image" => {}
            "context" => context = (value.text().unwrap_or(".").to_owned(), key.span),
            "docker" | "kaniko" => docker(&mut draft, &mut dockerfile, value, drafts, source),
            "requires" => requires(&mut draft, value, drafts),
            "platforms" => {
                draft.platforms = super::bake::platforms(&draft.name, &texts(value), key.span, drafts);
            }
            name if other => {
                return drafts
                    .lost(key.span, format!("the image `{image}`: {name} builds it, not a Dockerfile"));
            }
            name => drafts
                .lost(key.span, format!("{name} of `{image}`: imk builds images and does nothing with them")),
        }
    }
    let (context, dockerfile) = ((literal(&context.0), context.1), (literal(&dockerfile.0), dockerfile.1));
    if place::set(&mut draft, drafts, source.folder(), (&context.0, context.1), (&dockerfile.0, dockerfile.1))
    {
        drafts.images.push(draft);
    }
}

fn docker(
    draft: &mut Draft,
    dockerfile: &mut (String, Span),
    node: &Node,
    drafts: &mut Drafts,
    source: &Source<'_>,
) {
    for (key, value) in node.entries() {
        let text = value.text().map(str::to_owned);
        match key.text.as_str() {
            "dockerfile" => *dockerfile = (text.unwrap_or_default(), key.span),
            "target" => draft.target = text.as_deref().map(literal),
            "network" => {
                draft.network = text.map(|text| literal(&text.to_lowercase())).filter(|n| n != "bridge");
            }
            "buildArgs" => {
                for (arg, value) in value.entries() {
                    match value.text() {
                        Some(text) if text.contains("{{") => {
                            let what = format!(
                                "buildArgs.{}: `{text}` is known to a run of Skaffold only",
                                arg.text
                            );
                            drafts.lost(arg.span, what);
                        }
                        Some(text) => {
                            draft.args.insert(arg.text.clone(), literal(text));
                        }
                        None => drafts.lost(arg.span, format!("buildArgs.{}: it has no value", arg.text)),
                    }
                }
            }
            "secrets" => secrets(draft, value, drafts, source),
            other if !value.is_nothing() => {
                drafts.lost(
                    key.span,
                    format!("docker.{other} of `{}`: an Imagefile has no such key", draft.name),
                );
            }
            _ => {}
        }
    }
}

fn secrets(draft: &mut Draft, node: &Node, drafts: &mut Drafts, source: &Source<'_>) {
    let Value::List(items) = &node.value else { return };
    for item in items {
        let field = |key: &str| item.get(key).and_then(|node| node.text());
        let Some(id) = field("id") else { continue };
        let secret = match (field("env"), field("src")) {
            (Some(env), _) => Some(SecretSource::Env(env.to_owned())),
            (None, Some(path)) => super::bake::file_of(source.folder(), path).map(SecretSource::File),
            (None, None) => Some(SecretSource::Env(id.to_owned())),
        };
        match secret {
            Some(secret) => {
                draft.secrets.insert(id.to_owned(), secret);
            }
            None => drafts
                .lost(item.span, format!("the secret `{id}`: its file is not below the Imagefile's folder")),
        }
    }
}

/// The name of the required image in the build argument that Skaffold would set.
fn requires(draft: &mut Draft, node: &Node, drafts: &mut Drafts) {
    let Value::List(items) = &node.value else { return };
    for item in items {
        let field = |key: &str| item.get(key).and_then(|node| node.text());
        let Some(image) = field("image") else { continue };
        match field("alias") {
            Some(alias) => {
                draft.args.insert(alias.to_owned(), literal(image));
            }
            None => drafts.changed(item.span, format!("requires `{image}`: edges are found in Dockerfiles")),
        }
    }
}
