//! Files that a build leaves behind for scripts: `--metadata-file` and `--iidfile`.
//!
//! Written after a build that succeeded, whole or not at all. A file of the
//! build before would be taken for this one's, so an id file goes first.

use std::path::{Path, PathBuf};

use clap::Args as Group;
use serde_json::{Map, Value, json};

use crate::build::publish::Publication;
use crate::build::run::{Ending, Summary};
use crate::cli::args::Global;
use crate::cli::failure::{Failure, said};
use crate::cli::locate;
use crate::session::sync::Synced;
use crate::source::outside;

/// Where a build leaves word for scripts.
#[derive(Clone, Debug, Default, Group)]
pub struct RecordArgs {
    /// Write what was built to this file, in the layout of `docker buildx bake`
    #[arg(long, value_name = "FILE")]
    pub metadata_file: Option<PathBuf>,
    /// Write the image's id to this file; for one target
    #[arg(long, value_name = "FILE")]
    pub iidfile: Option<PathBuf>,
}

/// Before anything is built: refuses what cannot be written afterwards.
pub fn prepare(global: &Global, args: &RecordArgs, synced: &Synced) -> Result<(), Failure> {
    let Some(path) = &args.iidfile else { return Ok(()) };
    if synced.targets.len() != 1 {
        return Err(Failure::with_hint(
            format!("--iidfile holds the id of one image, and {} are asked for", synced.targets.len()),
            "name one target; --metadata-file holds any number",
        ));
    }
    outside::remove(&locate::place(global, path)).map_err(said)?;
    Ok(())
}

/// After a build in which nothing failed.
pub fn write(global: &Global, args: &RecordArgs, synced: &Synced, summary: &Summary) -> Result<(), Failure> {
    if let Some(path) = &args.metadata_file {
        let text = format!("{:#}\n", metadata(summary));
        outside::write(&locate::place(global, path), text.as_bytes()).map_err(said)?;
    }
    let result = synced.targets.first().and_then(|target| summary.results.get(target));
    if let (Some(path), Some(built)) = (&args.iidfile, result) {
        write_id(&locate::place(global, path), &built.id.0)?;
    }
    Ok(())
}

/// As docker writes it: the id and nothing else, not even a line's end.
fn write_id(path: &Path, id: &str) -> Result<(), Failure> {
    outside::write(path, id.as_bytes()).map_err(said)
}

/// The layout of `docker buildx bake --metadata-file`: an object for each image.
/// An engine's own store has one digest for an image and its configuration.
/// Keys that begin with `imk.` are ours.
fn metadata(summary: &Summary) -> Value {
    let images: Map<String, Value> = summary
        .results
        .iter()
        .map(|(name, built)| {
            let verdict = match summary.endings.get(name) {
                Some(Ending::Built { .. }) => "built",
                _ if summary.retagged.contains(name) => "retagged",
                Some(Ending::Reused) => "reused",
                Some(Ending::AlreadyPublished) => "found",
                _ => "fresh",
            };
            let names = summary.names.get(name).map(Vec::as_slice).unwrap_or_default();
            // A registry's manifest has a digest of its own.
            let digest = match summary.publications.get(name) {
                Some(Publication::Done { at, .. }) => at.rsplit('@').next().unwrap_or(at),
                _ => &built.id.0,
            };
            let image = json!({
                "containerimage.config.digest": built.id,
                "containerimage.digest": digest,
                "image.name": names.join(","),
                "imk.key": built.key,
                "imk.verdict": verdict,
            });
            (name.clone(), image)
        })
        .collect();
    Value::Object(images)
}
