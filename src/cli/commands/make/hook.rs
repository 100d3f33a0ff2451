//! `imk hook`: puts a pre-push hook into the repository, takes it out, says how it stands.
//!
//! What the hook does when git calls it is `pre_push.rs`.

mod mode;
mod pre_push;

use std::path::Path;

use clap::{Args as Group, Subcommand};
use mode::{Mode, SETTING, mode};
use pre_push::RunArgs;

use crate::cli::args::Global;
use crate::cli::failure::{Failure, cannot};
use crate::cli::{locate, out};
use crate::source::git::hooks::{HookError, Hooks, Standing};

const EXAMPLES: &str = "\
imk hook install                          tell, at every push, which images are not built
imk hook install --mode block             and refuse the push
imk hook status                           whether git asks imk, and how";

const MORE: &str = "\
`IMK_HOOK_MODE=build git push` builds what is lacking first; `git push --no-verify` pushes without a word;
`git config imk.hook.published true` asks that images be in their registry too.

An image is built when imk wrote down a result for exactly the files of the commit that is pushed, and the
engine or the image's registry has it. Without an engine, what is written down is believed. Uncommitted
changes do not count, deletions and tags of other things than commits are passed over.

What cannot be judged (a mistake in an Imagefile, objects that a partial clone does not have) is told, and
stops the push in the modes block and build.";

/// Have git ask before a push whether the images of the pushed commits are built
#[derive(Clone, Debug, Group)]
#[command(after_help = MORE)]
#[command(after_long_help = EXAMPLES)]
pub struct HookArgs {
    /// The subcommand.
    #[command(subcommand)]
    pub verb: HookVerb,
}

/// A subcommand of `hook`.
#[derive(Clone, Debug, Subcommand)]
pub enum HookVerb {
    /// Have git ask imk before it pushes; a hook that is there already runs first
    Install(InstallArgs),
    /// Take the hook away and put back the one that was there
    Uninstall,
    /// Say whether the hook is there, where, and what it does
    Status,
    /// Judge the commits that git names on standard input; the hook calls this
    Run(RunArgs),
}

/// The arguments of `hook install`.
#[derive(Clone, Debug, Default, Group)]
pub struct InstallArgs {
    /// Mode for an image that is not built; written to git's configuration as imk.hook [default: warn]
    #[arg(long, value_enum, value_name = "MODE")]
    pub mode: Option<Mode>,
    /// Also where hooks are shared with other repositories, and where a hook was put aside before
    #[arg(long)]
    pub force: bool,
}

/// The line that the hook is known by.
const MARKER: &str = "# This is imk's pre-push hook: `imk hook uninstall` puts back what was here before.";
pub fn run(global: &Global, args: &HookArgs) -> Result<(), Failure> {
    match &args.verb {
        HookVerb::Install(install) => self::install(global, install),
        HookVerb::Uninstall => uninstall(global),
        HookVerb::Status => status(global),
        HookVerb::Run(run) => pre_push::run(global, run),
    }
}

fn install(global: &Global, args: &InstallArgs) -> Result<(), Failure> {
    let located = locate::located(global)?;
    let hooks = Hooks::open(&located.root, MARKER).map_err(failure)?;
    if hooks.is_shared && !args.force {
        return Err(Failure::with_hint(
            format!("core.hooksPath is `{}` for other repositories too", hooks.folder.display()),
            "--force puts the hook there: it does nothing where there is no image",
        ));
    }
    let imk = std::env::current_exe().map_err(cannot("find the program imk, which the hook is to call"))?;
    let text = script(&imk, &place(global, &located.root, &hooks.top)?);
    let before = hooks.install(&text, args.force).map_err(failure)?;
    if let Some(mode) = args.mode {
        hooks.set(SETTING, Some(mode.word())).map_err(failure)?;
    }
    let mode = mode(|name| hooks.setting(name))?;
    out::line(format_args!("`{}` is there, in mode {}", hooks.path().display(), mode.word()));
    if matches!(before, Standing::Other | Standing::Ours { chained: true }) {
        out::line("the hook that was there runs first, and its failure stops the push");
    }
    Ok(())
}

fn uninstall(global: &Global) -> Result<(), Failure> {
    let hooks = Hooks::open(&locate::located(global)?.root, MARKER).map_err(failure)?;
    let path = hooks.path();
    match hooks.uninstall().map_err(failure)? {
        Standing::Ours { chained } => {
            hooks.set(SETTING, None).map_err(failure)?;
            let what = if chained { "is again what it was before" } else { "is gone" };
            out::line(format_args!("`{}` {what}", path.display()));
        }
        Standing::Nothing => out::line("there is no pre-push hook"),
        Standing::Other => {
            let hint = "it was left alone; remove it yourself if it is to go";
            return Err(Failure::with_hint(format!("`{}` is not imk's", path.display()), hint));
        }
    }
    Ok(())
}

fn status(global: &Global) -> Result<(), Failure> {
    let hooks = Hooks::open(&locate::located(global)?.root, MARKER).map_err(failure)?;
    let path = hooks.path();
    match hooks.standing().map_err(failure)? {
        Standing::Nothing => out::line("there is no pre-push hook: `imk hook install` makes one"),
        Standing::Other => {
            out::line(format_args!("`{}` is not imk's: `imk hook install` chains it", path.display()));
        }
        Standing::Ours { chained } => {
            let mode = mode(|name| hooks.setting(name))?;
            out::line(format_args!("`{}` is imk's, in mode {}", path.display(), mode.word()));
            if chained {
                out::line("the hook that was there before runs first");
            }
        }
    }
    Ok(())
}

/// The arguments by which the hook means the same repository from the top of the work tree.
fn place(global: &Global, root: &Path, top: &Path) -> Result<String, Failure> {
    let top = locate::whole(top)?;
    let below = |path: &Path| match path.strip_prefix(&top) {
        Ok(below) => Ok(below.to_owned()),
        Err(_) => Err(Failure::with_hint(
            format!("`{}` is not below `{}`, which is pushed", path.display(), top.display()),
            "the Imagefile must be part of what is pushed",
        )),
    };
    let mut words = String::new();
    let folder = below(root)?;
    if folder != Path::new("") {
        words += &format!(" -C {}", quoted(&folder));
    }
    if let Some(file) = &global.file {
        let named = locate::whole(&locate::place(global, file))?;
        let file = named.strip_prefix(root).unwrap_or(&named);
        words += &format!(" -f {}", quoted(if file == Path::new("") { Path::new(".") } else { file }));
    }
    Ok(words)
}

/// A word of the shell that means exactly this path.
fn quoted(path: &Path) -> String {
    format!("'{}'", path.to_string_lossy().replace('\'', r"'\''"))
}

/// The hook: finds imk, runs the hook that was there before, asks imk. What git tells is read once and
/// given to both. Git's variables would have imk's own git look elsewhere, so they end here.
fn script(imk: &Path, place: &str) -> String {
    let imk = quoted(imk);
    format!(
        r#"#!/bin/sh
{MARKER}
# It asks imk whether the images of the pushed commits are built. `git push --no-verify` pushes without it.

refs=$(cat; echo .)
refs=${{refs%.}}

before=${{0%/*}}/pre-push.before-imk
if [ -x "$before" ]; then
    printf '%s' "$refs" | "$before" "$@" || exit
fi

imk={imk}
if ! [ -x "$imk" ]; then
    imk=$(command -v imk) || imk=
fi
if [ -z "$imk" ]; then
    case ${{IMK_HOOK_MODE:-$(git config --get imk.hook)}} in
        off) exit 0 ;;
        block | build)
            echo "imk is gone, so nobody can say whether the images of this push are built." >&2
            echo "Install it, or push with --no-verify; removing $0 ends this." >&2
            exit 1 ;;
        *)
            echo "warning: imk is gone, so nobody says whether the images of this push are built" >&2
            exit 0 ;;
    esac
fi

git_dir=$(git rev-parse --absolute-git-dir) || exit
unset $(git rev-parse --local-env-vars)
printf '%s' "$refs" | "$imk"{place} hook run --git-dir "$git_dir" pre-push "$@"
"#
    )
}

fn failure(error: HookError) -> Failure {
    let hint = match &error {
        HookError::Git(_) => "a hook needs a git repository around the images",
        HookError::Bare(_) => "nobody builds from it; install the hook where people push from",
        HookError::Two(..) => {
            "one of them would be lost: put them into one, or say --force to lose the second"
        }
        HookError::File(_) => return Failure::error(error.to_string()),
    };
    Failure::with_hint(format!("no hook can be put here: {error}"), hint)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_one_word_of_the_shell() {
        assert_eq!(quoted(Path::new("/a b/it's")), r"'/a b/it'\''s'");
    }
}
