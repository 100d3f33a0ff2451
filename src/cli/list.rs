//! `imk list`: the images of the repository.

use serde_json::json;

use super::args::{Global, ListArgs};
use super::failure::{Failure, sync_error};
use super::{VERBS, open, out};
use crate::drive::project::Declared;
use crate::engine::Cancel;

/// As declared: templates stay as they are, and `imk tags` fills them.
fn tags(image: &Declared) -> Vec<String> {
    image.tags.iter().map(|rule| format!("{}:{}", image.repository, rule.template.text)).collect()
}

pub fn run(global: &Global, args: &ListArgs) -> Result<(), Failure> {
    let mut session = open::session(global, false, &Cancel::default())?;
    let targets = session.choose(&args.targets.words).map_err(|error| sync_error(error, &session, VERBS))?;
    let chosen = || session.project.images.iter().filter(|(name, _)| targets.contains(*name));
    if args.json {
        let images: Vec<_> = chosen()
            .map(|(name, image)| {
                json!({
                    "name": name,
                    "description": image.description,
                    "dockerfile": image.options.dockerfile_path,
                    "tags": tags(image),
                })
            })
            .collect();
        out::line(format_args!("{:#}", json!({ "images": images })));
        return Ok(());
    }
    let width = chosen().map(|(name, _)| name.len()).max().unwrap_or_default();
    for (name, image) in chosen() {
        let about = image.description.as_deref().unwrap_or(&image.options.dockerfile_path);
        out::line(format_args!("{name:<width$}  {about}"));
    }
    Ok(())
}
