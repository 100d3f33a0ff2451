//! `imk init`: writes the Imagefile that discovery stands for.

use clap::Args as Group;
use fs_err as fs;

use crate::cli::args::Global;
use crate::cli::failure::{Failure, open_error, said};
use crate::cli::{locate, out};
use crate::session::learned_names::{self, Learned, Recipe};
use crate::session::open::OpenError;
use crate::session::project::{self, Overrides, Project};
use crate::source::discover::discover;
use crate::source::disk::DiskTree;
use crate::source::locate::{IMAGEFILE, Located};
use crate::source::tree::SourceTree as _;

const EXAMPLES: &str = "\
imk init                         write Imagefile.ron
imk init --print                 only show it";

/// Write the Imagefile.ron that discovery stands for
#[derive(Clone, Debug, Default, Group)]
#[command(after_long_help = EXAMPLES)]
pub struct InitArgs {
    /// Write over an Imagefile.ron that is there
    #[arg(long)]
    pub force: bool,
    /// Print it instead of writing it
    #[arg(long)]
    pub print: bool,
}

pub fn run(global: &Global, args: &InitArgs) -> Result<(), Failure> {
    let found = locate::located(global)?;
    let path = found.root.join(IMAGEFILE);
    if path.exists() && !args.force && !args.print {
        return Err(Failure::with_hint(
            format!("there is an {IMAGEFILE} in `{}` already", found.root.display()),
            "`imk init --print` shows what would be written, --force writes over it",
        ));
    }
    let located = Located { imagefile: None, ..found };
    let state = locate::state(global, &located)?;
    let tree = DiskTree::open(&located.root, &state)?;
    let discovered = || discover(&located.root, &state);
    let project = project::read(&located, &tree, discovered, &Overrides::default())
        .map_err(|error| open_error(OpenError::Project(error), |_| None))?;
    let learned = learned(&project, &tree)?;
    let text = imagefile(&project, &learned);
    if args.print {
        out::text(format_args!("{text}"));
        return Ok(());
    }
    fs::write(&path, &text).map_err(said)?;
    let count = project.images.len();
    let images = if count == 1 { "image" } else { "images" };
    out::line(format_args!("wrote {IMAGEFILE} with {count} {images}"));
    if learned.users > 0 {
        out::note(format_args!(
            "`{}…` in Dockerfiles ends as images here are named, so `prefix` says that these are meant; it stands in their tags too",
            learned.prefix
        ));
    }
    Ok(())
}

/// The names that the repository's Dockerfiles have for its images.
fn learned(project: &Project, tree: &DiskTree) -> Result<Learned, Failure> {
    let mut recipes = Vec::new();
    for (name, image) in &project.images {
        let bytes = tree.read(&image.paths.dockerfile)?.unwrap_or_default();
        let text = String::from_utf8_lossy(&bytes).into_owned();
        recipes.push(Recipe { path: image.paths.dockerfile.clone(), name: name.clone(), text });
    }
    Ok(learned_names::learn(&recipes))
}

fn imagefile(project: &Project, learned: &Learned) -> String {
    let mut text = String::from("// What `imk` builds here. `imk keys` explains every key.\n(\n");
    if !learned.prefix.is_empty() {
        text += &format!("    prefix: {},\n", quoted(&learned.prefix));
    }
    text += "    images: {\n";
    let mut images: Vec<_> = learned.names.iter().zip(project.images.values()).collect();
    images.sort_by_key(|(name, _)| *name);
    for (name, image) in images {
        let (dockerfile, context) = (&image.paths.dockerfile, &image.paths.context);
        let plain = *dockerfile == crate::model::name::join(context, "Dockerfile");
        let mut keys = Vec::new();
        if !plain {
            keys.push(format!("dockerfile: {}", quoted(dockerfile)));
        }
        if plain && *context != name.replace(':', "/") {
            keys.push(format!("context: {}", quoted(if context.is_empty() { "." } else { context })));
        }
        if learned.any_tag.contains(name) {
            keys.push("any_tag: true".to_owned());
        }
        text += &format!("        {}: ({}),\n", quoted(name), keys.join(", "));
    }
    text += "    },\n)\n";
    text
}

fn quoted(text: &str) -> String {
    // RON writes a text as its own crate does; a text can always be written.
    ron::to_string(text).unwrap_or_else(|_| format!("{text:?}"))
}
