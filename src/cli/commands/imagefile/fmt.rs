//! `imk fmt`: puts the Imagefile in order, or says that it is not.

use clap::Args as Group;

use crate::cli::args::Global;
use crate::cli::failure::{Exit, Failure, said};
use crate::cli::{locate, out, overrides};
use crate::query::problem::Problem;
use crate::source::{inside, outside};
use crate::syntax::imagefile::format::format;

const EXAMPLES: &str = "\
imk fmt                          put Imagefile.ron in order
imk fmt --check                  only say whether it is; exit 1 when not";

/// Put the Imagefile's spaces and commas in order
#[derive(Clone, Debug, Default, Group)]
#[command(after_long_help = EXAMPLES)]
pub struct FmtArgs {
    /// Write nothing; exit 1 and name the file when it is not in order
    #[arg(long)]
    pub check: bool,
}

pub fn run(global: &Global, args: &FmtArgs) -> Result<(), Failure> {
    let located = locate::located(global)?;
    let Some(name) = &located.imagefile else {
        return Err(Failure::with_hint(
            format!("there is no Imagefile.ron in `{}` or above", located.root.display()),
            "`imk init` writes one; name another with -f FILE",
        ));
    };
    let path = located.root.join(name);
    let text = String::from_utf8(inside::read(&located.root, name)?.unwrap_or_default())
        .map_err(|_| Failure::with_hint(format!("`{name}` is not UTF-8 text"), "save it as UTF-8"))?;
    let formatted = format(&text, &overrides::overrides(global).vars).map_err(|errors| {
        let problems: Vec<Problem> = errors.into_iter().map(|error| Problem::in_file(name, error)).collect();
        Failure::problems(&problems, |_| Some(text.clone()))
    })?;
    if formatted == text {
        return Ok(());
    }
    if args.check {
        out::line(format_args!("{name} is not in order; `imk fmt` puts it"));
        return Err(Failure::silent(Exit::NotUpToDate));
    }
    outside::write(&path, formatted.as_bytes()).map_err(said)?;
    out::line(format_args!("{name} put in order"));
    Ok(())
}
