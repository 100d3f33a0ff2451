//! `imk tools`: the toolbox of steps in `integration.yml`, where it is called `tools`.
//!
//! Within a job it asks the server, which has the logins; elsewhere it pushes as the one who calls it.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use clap::{Args as Group, Subcommand};

use crate::cli::args::{Global, Targets};
use crate::cli::commands::make::build::{self, BuildArgs};
use crate::cli::failure::{Failure, cannot};
use crate::cli::{locate, out};
use crate::model::name;
use crate::service::steps::tools::{self, Request};
use crate::syntax::reference;

/// The verb, and the name under which steps call imk.
pub const VERB: &str = "tools";

const EXAMPLES: &str = "\
imk tools push team/app                      build ./Dockerfile and push it as latest
imk tools push -t $COMMIT_SHORT -t latest team/app -d
imk tools jenkins view/CSE/job/Test          start a job of the Jenkins in serve.ron; within a job of imk serve
imk tools hipchat -c green 883987 'all is well'";

/// The toolbox of steps in integration.yml, which call it `tools`
///
/// Within a job of `imk serve` the server does what is asked, with its own logins. Elsewhere `push` pushes with
/// yours, and the others say that there is nobody to ask.
#[derive(Clone, Debug, Group)]
#[command(after_long_help = EXAMPLES)]
pub struct ToolsArgs {
    /// The tool.
    #[command(subcommand)]
    pub tool: Tool,
}

/// A tool.
#[derive(Clone, Debug, Subcommand)]
pub enum Tool {
    /// Build ./Dockerfile and push the image, also under a name that no Imagefile has
    Push(PushArgs),
    /// Start a job of Jenkins
    Jenkins(JenkinsArgs),
    /// Tell the notifiers of the repository
    Hipchat(HipchatArgs),
}

/// The arguments of `tools push`.
#[derive(Clone, Debug, Group)]
pub struct PushArgs {
    /// A tag, or several with commas between; may be repeated [default: latest]
    #[arg(short, long = "tag", value_name = "TAG", value_delimiter = ',')]
    pub tags: Vec<String>,
    /// Tell more
    #[arg(short, long)]
    pub debug: bool,
    /// The image's name, such as team/app or registry.example/team/app
    #[arg(value_name = "IMAGE")]
    pub image: String,
}

/// The arguments of `tools jenkins`.
#[derive(Clone, Debug, Group)]
pub struct JenkinsArgs {
    /// Another user than the server's
    #[arg(short, long = "jenkins-user", value_name = "USER")]
    pub user: Option<String>,
    /// That user's token
    #[arg(short, long = "jenkins-token", value_name = "TOKEN")]
    pub token: Option<String>,
    /// Tell more
    #[arg(short, long)]
    pub debug: bool,
    /// The job's path, such as view/CSE/job/Test
    #[arg(value_name = "PATH")]
    pub path: String,
}

/// The arguments of `tools hipchat`.
#[derive(Clone, Debug, Group)]
pub struct HipchatArgs {
    /// The colour, which notifiers of today have no use for
    #[arg(short, long, value_name = "COLOR", default_value = "yellow", value_parser = ["yellow", "green", "red", "purple", "gray"])]
    pub color: String,
    /// A token of HipChat, which nobody takes any more
    #[arg(short, long = "hipchat-token", value_name = "TOKEN")]
    pub token: Option<String>,
    /// Tell more
    #[arg(short, long)]
    pub debug: bool,
    /// The room, which notifiers of today have no use for
    #[arg(value_name = "ROOM")]
    pub room: String,
    /// The message
    #[arg(value_name = "WORD", required = true)]
    pub message: Vec<String>,
}

/// The words of a command line, with the verb where imk was called by its other name.
pub fn meant(words: Vec<OsString>) -> Vec<OsString> {
    let is_ours =
        words.first().is_some_and(|word| Path::new(word).file_name().is_some_and(|name| name == VERB));
    match is_ours {
        true => ["imk", VERB].into_iter().map(OsString::from).chain(words.into_iter().skip(1)).collect(),
        false => words,
    }
}

/// Does what is asked, or has it done.
///
/// # Errors
/// The failure that is told before the program ends, and its exit status.
pub fn run(global: &Global, args: &ToolsArgs) -> Result<(), Failure> {
    let door = std::env::var_os(tools::VARIABLE).filter(|path| !path.is_empty()).map(PathBuf::from);
    let (request, debug) = match (&args.tool, &door) {
        (Tool::Push(push), None) => return pushed(global, push),
        (Tool::Push(push), Some(_)) => (asked(global, push)?, push.debug),
        (Tool::Jenkins(jenkins), _) => (
            Request::Jenkins {
                path: jenkins.path.clone(),
                user: jenkins.user.clone(),
                token: jenkins.token.clone(),
            },
            jenkins.debug,
        ),
        (Tool::Hipchat(hipchat), _) => (
            Request::Hipchat {
                room: hipchat.room.clone(),
                message: hipchat.message.join(" "),
                color: hipchat.color.clone(),
            },
            hipchat.debug,
        ),
    };
    let Some(door) = door else {
        let hint = "steps of integration.yml are such jobs; `imk tools push` works anywhere";
        return Err(Failure::with_hint("this is no job of `imk serve`, so there is nobody to ask", hint));
    };
    if debug {
        out::note(format_args!("asking the server of this job at `{}`", door.display()));
    }
    let done = tools::ask(&door, &request, &mut |text| out::error_bytes(text.as_bytes()));
    out::line(done.map_err(Failure::error)?);
    Ok(())
}

/// The wish to push, checked before anybody is asked.
fn asked(global: &Global, args: &PushArgs) -> Result<Request, Failure> {
    imagefile(args)?;
    let folder = locate::whole(&locate::place(global, Path::new("")))?;
    let folder = folder.to_str().ok_or_else(|| Failure::error("the folder's name is not UTF-8"))?.to_owned();
    Ok(Request::Push { folder, image: args.image.clone(), tags: tags(args), debug: args.debug })
}

fn tags(args: &PushArgs) -> Vec<String> {
    match args.tags.is_empty() {
        true => vec!["latest".to_owned()],
        false => args.tags.clone(),
    }
}

/// Builds the folder's Dockerfile under a name that no Imagefile has, and pushes it.
fn pushed(global: &Global, args: &PushArgs) -> Result<(), Failure> {
    let (text, image) = imagefile(args)?;
    let folder = locate::whole(&locate::place(global, Path::new("")))?;
    // Its state is apart from that of images which an Imagefile here declares: neither is to tidy up the other's.
    let state = match (&global.state_dir, locate::cache()) {
        (Some(folder), _) => Some(folder.join(VERB)),
        (None, Some(cache)) => Some(cache.join("imk").join(VERB)),
        (None, None) => None,
    };
    if let Some(state) = &state {
        crate::source::outside::make_folder(state).map_err(cannot("make the folder for imk's state"))?;
    }
    let global = Global {
        file: Some(folder),
        imagefile: Some(text),
        state_dir: state,
        prefix: None,
        verbose: global.verbose || args.debug,
        ..global.clone()
    };
    let targets = Targets { words: vec![image] };
    build::run(&global, &BuildArgs { push: true, targets, ..BuildArgs::default() })
}

/// The Imagefile that says so, and the image's name in it.
fn imagefile(args: &PushArgs) -> Result<(String, String), Failure> {
    let wrong = |why: String| {
        Failure::with_hint(format!("`{}`: {why}", args.image), "write team/app or registry.example/team/app")
    };
    let at = reference::parse(&args.image).map_err(wrong)?;
    let last = args.image.rsplit('/').next().unwrap_or_default();
    if at.digest.is_some() || last.contains(':') {
        return Err(Failure::with_hint(format!("`{}` has a tag", args.image), "-t TAG gives it"));
    }
    for tag in &args.tags {
        name::check_tag(tag).map_err(|why| Failure::error(format!("`{tag}`: {why}")))?;
    }
    let tags: Vec<String> = tags(args).iter().map(|tag| format!("{tag:?}")).collect();
    let (folders, name) = at.repository.rsplit_once('/').unwrap_or(("", &at.repository));
    let prefix =
        if folders.is_empty() { format!("{}/", at.registry) } else { format!("{}/{folders}/", at.registry) };
    let text = format!(
        "(prefix: {prefix:?}, images: {{{name:?}: (context: \".\", tags: [{}])}})\n",
        tags.join(", ")
    );
    Ok((text, name.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn args(image: &str, tags: &[&str]) -> PushArgs {
        let tags = tags.iter().map(ToString::to_string).collect();
        PushArgs { tags, debug: false, image: image.into() }
    }

    #[test]
    fn a_name_becomes_an_imagefile_that_is_one() {
        for (image, tags, expected) in [
            (
                "team/app",
                &[][..],
                "(prefix: \"docker.io/team/\", images: {\"app\": (context: \".\", tags: [\"latest\"])})\n",
            ),
            (
                "app",
                &["1"],
                "(prefix: \"docker.io/library/\", images: {\"app\": (context: \".\", tags: [\"1\"])})\n",
            ),
            (
                "127.0.0.1:5000/a/b/app",
                &["1", "x-2"],
                "(prefix: \"127.0.0.1:5000/a/b/\", images: {\"app\": (context: \".\", tags: [\"1\", \"x-2\"])})\n",
            ),
        ] {
            let (text, name) = imagefile(&args(image, tags)).unwrap();
            assert_eq!((text.as_str(), name.as_str()), (expected, "app"));
            assert!(crate::syntax::imagefile::read_with(&text, &Default::default(), &[]).is_ok());
        }
        for (image, tags) in [
            ("", &[][..]),
            ("Team/App", &[]),
            ("a/b:1", &[]),
            ("a\"b", &[]),
            ("../x", &[]),
            ("a/b", &["x y"]),
            ("a/b", &["{time}"]),
        ] {
            assert!(imagefile(&args(image, tags)).is_err(), "{image} {tags:?}");
        }
    }

    #[test]
    fn by_its_other_name_imk_is_the_toolbox() {
        let meant = |words: &[&str]| super::meant(words.iter().map(OsString::from).collect());
        assert_eq!(meant(&["/job/bin/tools", "push", "x"]), ["imk", "tools", "push", "x"]);
        assert_eq!(meant(&["tools"]), ["imk", "tools"]);
        assert_eq!(meant(&["/usr/bin/imk", "tools"]), ["/usr/bin/imk", "tools"]);
    }
}
