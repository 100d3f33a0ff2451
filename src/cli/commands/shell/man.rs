//! `imk man`: the manual as pages for `man`, made of the same words as `--help`.

use std::path::PathBuf;

use clap::Args as Group;
use clap::Command;
use clap_mangen::Man;

use crate::cli::args::Global;
use crate::cli::failure::{Failure, cannot, said};
use crate::cli::{locate, out};
use crate::source::outside;

const EXAMPLES: &str = "\
imk man | man -l -               read imk's own page
imk man ~/.local/share/man/man1  install the pages of all verbs";

/// Print the manual page, or write the pages of all verbs
#[derive(Clone, Debug, Default, Group)]
#[command(after_long_help = EXAMPLES)]
pub struct ManArgs {
    /// Write the pages of all verbs to this folder, instead of printing imk's own
    #[arg(value_name = "DIR", value_hint = clap::ValueHint::DirPath)]
    pub folder: Option<PathBuf>,
}

pub fn run(global: &Global, args: &ManArgs, command: fn() -> Command) -> Result<(), Failure> {
    let mut root = command();
    root.build();
    let source = format!("imk {}", root.get_version().unwrap_or_default());
    let of = |command: Command| Man::new(command).source(source.as_str()).manual("imk");
    let Some(folder) = &args.folder else {
        out::text(String::from_utf8_lossy(&page(&of(root)).map_err(cannot("write the page of imk"))?));
        return Ok(());
    };
    let folder = locate::place(global, folder);
    let verbs = root.get_subcommands().filter(|verb| verb.get_name() != "help").cloned();
    let pages: Vec<Man> = verbs.chain([root.clone()]).map(of).collect();
    outside::make_folder(&folder).map_err(said)?;
    for man in &pages {
        let name = man.get_filename();
        let page = page(man).map_err(cannot(format_args!("write the page `{name}`")))?;
        outside::write(&folder.join(name), &page).map_err(said)?;
    }
    out::line(format_args!("wrote {} pages to {}", pages.len(), folder.display()));
    Ok(())
}

fn page(man: &Man) -> std::io::Result<Vec<u8>> {
    let mut page = Vec::new();
    man.render(&mut page)?;
    Ok(page)
}
