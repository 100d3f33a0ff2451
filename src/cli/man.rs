//! `imk man`: the manual as pages for `man`, made of the same words as `--help`.

use clap::Command;
use clap_mangen::Man;

use super::args::Global;
use super::args::shell::ManArgs;
use super::failure::Failure;
use super::{command, open, out};
use crate::source::outside;

pub fn run(global: &Global, args: &ManArgs) -> Result<(), Failure> {
    let mut root = command::command();
    root.build();
    let source = format!("imk {}", root.get_version().unwrap_or_default());
    let of = |command: Command| Man::new(command).source(source.as_str()).manual("imk");
    let Some(folder) = &args.folder else {
        out::text(String::from_utf8_lossy(&page(&of(root))?));
        return Ok(());
    };
    let folder = open::place(global, folder);
    let verbs = root.get_subcommands().filter(|verb| verb.get_name() != "help").cloned();
    let pages: Vec<Man> = verbs.chain([root.clone()]).map(of).collect();
    outside::make_folder(&folder)?;
    for man in &pages {
        outside::write(&folder.join(man.get_filename()), &page(man)?)?;
    }
    out::line(format_args!("wrote {} pages to {}", pages.len(), folder.display()));
    Ok(())
}

fn page(man: &Man) -> std::io::Result<Vec<u8>> {
    let mut page = Vec::new();
    man.render(&mut page)?;
    Ok(page)
}
