//! Where imk runs on GitHub or GitLab: folds, annotations and the job's summary.
//!
//! Makes lines in the languages of those two. Knows nothing of images but
//! names and words that it is handed.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::cli::out::{self, Drawn};
use crate::cli::quote;

/// The CI system that runs this job.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ci {
    /// GitHub Actions, and those that speak its language.
    GitHub,
    /// GitLab CI.
    GitLab,
}

/// Where the paths of messages begin; known once a repository was located.
static ROOT: OnceLock<PathBuf> = OnceLock::new();

/// Paths of messages begin here from now on.
pub fn begin_paths_at(root: &Path) {
    let _ = ROOT.set(root.to_owned());
}

impl Ci {
    /// The CI system that runs this process.
    pub fn here() -> Option<Self> {
        let is_set = |name| std::env::var_os(name).is_some_and(|value| !value.is_empty() && value != "false");
        if is_set("GITHUB_ACTIONS") {
            return Some(Self::GitHub);
        }
        is_set("GITLAB_CI").then_some(Self::GitLab)
    }

    /// The name by which reports know it.
    pub fn name(self) -> &'static str {
        match self {
            Self::GitHub => "github",
            Self::GitLab => "gitlab",
        }
    }

    /// The beginning of a fold whose lines come as they are made.
    pub fn begin_fold(self, name: &str, title: &str) -> Drawn {
        Drawn::quoted_already(match self {
            Self::GitHub => format!("::group::{}\n", quote::line(title)),
            Self::GitLab => {
                let (clear, now) = ("\u{1b}[0K", seconds());
                format!("{clear}section_start:{now}:imk_{name}\r{clear}{}\n", quote::line(title))
            }
        })
    }

    /// The end of such a fold.
    pub fn end_fold(self, name: &str) -> Drawn {
        Drawn::quoted_already(match self {
            Self::GitHub => "::endgroup::\n".to_owned(),
            Self::GitLab => {
                let clear = "\u{1b}[0K";
                format!("{clear}section_end:{}:imk_{name}\r{clear}\n", seconds())
            }
        })
    }

    /// Lines that a reader opens by a click on their title. `took` ends now.
    pub fn fold(self, name: &str, title: &str, lines: &[String], took: Duration) -> Drawn {
        let mut text = String::new();
        match self {
            Self::GitHub => {
                let _ = writeln!(text, "::group::{}", quote::line(title));
                lines.iter().for_each(|line| text += &format!("{}\n", quote::line(line)));
                text += "::endgroup::\n";
            }
            Self::GitLab => {
                let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
                let began = now.saturating_sub(took).as_secs();
                let word = |c: char| if c.is_ascii_alphanumeric() || "_.-".contains(c) { c } else { '.' };
                let section: String = name.chars().map(word).collect();
                let (clear, now) = ("\u{1b}[0K", now.as_secs());
                let _ = writeln!(
                    text,
                    "{clear}section_start:{began}:imk_{section}[collapsed=true]\r{clear}{}",
                    quote::line(title)
                );
                lines.iter().for_each(|line| text += &format!("{}\n", quote::line(line)));
                let _ = writeln!(text, "{clear}section_end:{now}:imk_{section}\r{clear}");
            }
        }
        Drawn::quoted_already(text)
    }
}

/// Seconds since 1970.
fn seconds() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs()
}

/// The line that makes GitHub show an error beside a line of a file; nothing elsewhere.
/// `place` is the line and column, from 1; a path begins at the repository's root.
pub fn annotation(path: &str, place: Option<(usize, Option<usize>)>, message: &str) -> Drawn {
    if Ci::here() != Some(Ci::GitHub) {
        return Drawn::default();
    }
    let workspace = std::env::var_os("GITHUB_WORKSPACE").map(PathBuf::from);
    let root = ROOT.get().map(PathBuf::as_path);
    Drawn::quoted_already(annotation_in(root, workspace.as_deref(), path, place, message))
}

fn annotation_in(
    root: Option<&Path>,
    workspace: Option<&Path>,
    path: &str,
    place: Option<(usize, Option<usize>)>,
    message: &str,
) -> String {
    let mut properties = Vec::new();
    if !path.is_empty() {
        // GitHub counts from the work tree's root, which may lie above imk's.
        let workspace = workspace.and_then(|path| path.canonicalize().ok());
        let below = root.zip(workspace.as_deref()).and_then(|(root, top)| root.strip_prefix(top).ok());
        let path = below.unwrap_or(Path::new("")).join(path);
        properties.push(format!("file={}", property(&path.to_string_lossy())));
    }
    if let Some((line, column)) = place {
        properties.push(format!("line={line}"));
        properties.extend(column.map(|column| format!("col={column}")));
    }
    let space = if properties.is_empty() { "" } else { " " };
    format!("::error{space}{}::{}\n", properties.join(","), data(message))
}

/// A message as GitHub's toolkit escapes it.
fn data(text: &str) -> String {
    let lines: Vec<String> = text.lines().map(quote::line).collect();
    lines.join("\n").replace('%', "%25").replace('\n', "%0A")
}

fn property(text: &str) -> String {
    data(text).replace(':', "%3A").replace(',', "%2C")
}

/// A row of the job's summary.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// The image.
    pub image: String,
    /// How it came out.
    pub verdict: String,
    /// Why it was touched.
    pub reason: String,
    /// How long it took.
    pub took: String,
}

/// The job's summary in GitHub's Markdown. Fresh images are only counted in its last line.
pub fn summary(rows: &[Row], line: &str) -> String {
    let mut text = String::from("### imk\n\n");
    if !rows.is_empty() {
        text += "| image | verdict | reason | duration |\n| --- | --- | --- | --- |\n";
    }
    for Row { image, verdict, reason, took } in rows {
        let cells = [image, verdict, reason, took].map(|cell| self::cell(cell));
        let _ = writeln!(text, "| {} |", cells.join(" | "));
    }
    let gap = if rows.is_empty() { "" } else { "\n" };
    let _ = writeln!(text, "{gap}{line}");
    text
}

/// A table in GitHub's Markdown.
pub fn table<const N: usize>(head: [&str; N], rows: impl IntoIterator<Item = [String; N]>) -> String {
    let mut text = format!("| {} |\n|{}\n", head.join(" | "), " --- |".repeat(N));
    for row in rows {
        let _ = writeln!(text, "| {} |", row.map(|cell| self::cell(&cell)).join(" | "));
    }
    text
}

/// Does something whose lines are a fold of the job's log, where there are folds; a heading elsewhere.
pub fn folded<T>(title: &str, act: impl FnOnce() -> T) -> T {
    let here = Ci::here();
    match here {
        Some(ci) => out::ci(&ci.begin_fold(title, title)),
        None => out::note(format_args!("-- {title}")),
    }
    let outcome = act();
    if let Some(ci) = here {
        out::ci(&ci.end_fold(title));
    }
    outcome
}

/// Text that ends neither a cell nor a line.
pub fn cell(text: &str) -> String {
    text.replace('|', "\\|").replace('<', "&lt;").replace(['\n', '\r'], " ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn output_is_no_command() {
        let lines = ["| x\n::endgroup::\n::error::y".to_owned()];
        let text = Ci::GitHub.fold("a", "a: built", &lines, Duration::ZERO);
        assert_eq!(text.as_str(), "::group::a: built\n| x\\n::endgroup::\\n::error::y\n::endgroup::\n");
    }

    #[test]
    fn a_section_has_a_name_that_gitlab_takes() {
        let text = Ci::GitLab.fold("team/web", "web: built", &[], Duration::ZERO).as_str().to_owned();
        assert!(text.contains(":imk_team.web[collapsed=true]\r\u{1b}[0Kweb: built\n"), "{text:?}");
        assert_eq!(text.matches("imk_team.web").count(), 2);
    }

    #[test]
    fn an_annotation_is_escaped_and_begins_at_the_work_tree() {
        let folder = tempfile::tempdir().unwrap();
        let top = folder.path().canonicalize().unwrap();
        let root = top.join("sub");
        let text = annotation_in(Some(&root), Some(&top), "a,b/Dockerfile", Some((3, Some(6))), "100%\nno");
        assert_eq!(text, "::error file=sub/a%2Cb/Dockerfile,line=3,col=6::100%25%0Ano\n");
        assert_eq!(annotation_in(None, None, "", None, "x"), "::error::x\n");
    }

    #[test]
    fn a_cell_cannot_end_its_table() {
        let row = Row {
            image: "web".into(),
            verdict: "failed".into(),
            reason: "a|b <c>\nd".into(),
            took: "1.0s".into(),
        };
        insta::assert_snapshot!(summary(&[row], "0 fresh"), @r"
        ### imk

        | image | verdict | reason | duration |
        | --- | --- | --- | --- |
        | web | failed | a\|b &lt;c> d | 1.0s |

        0 fresh
        ");
    }
}
