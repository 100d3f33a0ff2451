//! Arguments about the file system monitor.

/// The arguments about it that every verb takes.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct MonitorArgs {
    /// Ask the file system monitor of this repository, and start one if there is none; `=no`: ask none
    #[arg(long, value_name = "YES", global = true, env = "IMK_FSMONITOR", num_args = 0..=1, require_equals = true, default_missing_value = "yes", value_parser = wish)]
    pub fsmonitor: Option<Wish>,
}

/// The part that a monitor has in a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wish {
    /// It is started when there is none.
    Started,
    /// It is not asked, though there be one.
    Unasked,
}

fn wish(text: &str) -> Result<Wish, &'static str> {
    match text.to_ascii_lowercase().as_str() {
        "1" | "true" | "yes" | "on" => Ok(Wish::Started),
        "0" | "false" | "no" | "off" => Ok(Wish::Unasked),
        _ => Err("say 1 or 0, true or false, yes or no"),
    }
}
