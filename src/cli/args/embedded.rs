//! Arguments about imk's own builder.

use std::path::PathBuf;

/// The arguments about it that every verb takes.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct EmbeddedArgs {
    /// Keep the images of `--engine embedded` in this folder, and not in ~/.local/share/imk/store
    #[arg(long, value_name = "DIR", global = true, env = "IMK_STORE")]
    pub store: Option<PathBuf>,
    /// How `--engine embedded` keeps commands apart from the machine: `namespaces`, or `chroot`, which does not
    #[arg(long, value_name = "HOW", global = true, env = "IMK_ISOLATION")]
    pub isolation: Option<String>,
}
