//! Files that a build leaves behind for scripts: `--metadata-file` and `--iidfile`.
//!
//! Written after a build that succeeded, whole or not at all. A file of the
//! build before would be taken for this one's, so an id file goes first.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use clap::Args as Group;
use serde::Serialize;

use crate::build::publish::Publication;
use crate::build::run::{Ending, Summary};
use crate::cli::args::Global;
use crate::cli::failure::{Failure, said};
use crate::cli::locate;
use crate::engine::ImageId;
use crate::model::hash::ContentHash;
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
        // Keys are texts and values have forms of JSON, so nothing is refused.
        let text = serde_json::to_string_pretty(&metadata(summary)).unwrap_or_default() + "\n";
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

/// An image in the layout of `docker buildx bake --metadata-file`. Keys that begin with `imk.` are ours.
#[derive(Serialize)]
struct Metadata<'a> {
    #[serde(rename = "containerimage.config.digest")]
    config_digest: &'a ImageId,
    #[serde(rename = "containerimage.digest")]
    digest: &'a str,
    #[serde(rename = "image.name")]
    names: String,
    #[serde(rename = "imk.key")]
    key: &'a ContentHash,
    #[serde(rename = "imk.verdict")]
    verdict: &'static str,
}

/// All images by name.
fn metadata(summary: &Summary) -> BTreeMap<&str, Metadata<'_>> {
    let images = summary.results.iter().map(|(name, built)| {
        let verdict = match summary.endings.get(name) {
            Some(Ending::Built { .. }) => "built",
            _ if summary.retagged.contains(name) => "retagged",
            Some(Ending::Reused) => "reused",
            Some(Ending::AlreadyPublished) => "found",
            _ => "fresh",
        };
        let names = summary.names.get(name).map(Vec::as_slice).unwrap_or_default();
        // A registry's manifest has a digest of its own; an engine's own store has one for an image and its
        // configuration.
        let digest = match summary.publications.get(name) {
            Some(Publication::Done { at, .. }) => at.rsplit('@').next().unwrap_or(at),
            _ => &built.id.0,
        };
        let metadata =
            Metadata { config_digest: &built.id, digest, names: names.join(","), key: &built.key, verdict };
        (name.as_str(), metadata)
    });
    images.collect()
}
