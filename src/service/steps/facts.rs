//! Facts of a commit that steps know by variables.

use jiff::Timestamp;
use jiff::tz::TimeZone;

/// Digits of a short commit id, as steps have always had them.
const SHORT: usize = 10;
/// A tag has no more characters.
const LONGEST_TAG: usize = 128;
/// A longer message is cut: the system takes no variable of more than 128 KiB.
const LONGEST_MESSAGE: usize = 16 * 1024;
/// The variable with the status so far.
pub const LOG: &str = "LOG";
/// The variable that is `true` until something fails.
pub const OK: &str = "OK";

/// The facts of one job.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Facts {
    /// The name of the machine that runs the steps.
    pub host: String,
    /// The branch.
    pub branch: String,
    /// The commit, in full.
    pub commit: String,
    /// The commit's message, whole.
    pub message: String,
    /// When it was committed.
    pub time: Timestamp,
}

impl Facts {
    /// The commit's id as people are shown it.
    pub fn commit_short(&self) -> &str {
        self.commit.get(..SHORT).unwrap_or(&self.commit)
    }

    /// Branch and short id, of characters that a tag can have.
    ///
    /// ```
    /// use imk::service::steps::facts::Facts;
    ///
    /// let facts = Facts { branch: "fix/Ünicode".into(), commit: "44d27e9096aa".into(), ..Facts::default() };
    /// assert_eq!(facts.tag(), "fix--nicode-44d27e9096");
    /// ```
    pub fn tag(&self) -> String {
        let short = self.commit_short();
        let sound = |c: char| if c.is_ascii_alphanumeric() { c } else { '-' };
        let room = LONGEST_TAG - short.len().min(LONGEST_TAG) - 1;
        let branch: String = self.branch.chars().map(sound).take(room).collect();
        let branch = branch.trim_start_matches('-');
        if branch.is_empty() { short.to_owned() } else { format!("{branch}-{short}") }
    }

    /// As variables, but for `$LOG` and `$OK`, which change while steps run.
    pub fn variables(&self) -> Vec<(String, String)> {
        let message: String = self.message.replace('\0', "").chars().take(LONGEST_MESSAGE).collect();
        let time = self.time.to_zoned(TimeZone::UTC).strftime("%Y-%m-%dT%H:%M:%SZ").to_string();
        [
            ("HOST", self.host.clone()),
            ("BRANCH", self.branch.clone()),
            ("COMMIT", self.commit.clone()),
            ("COMMIT_SHORT", self.commit_short().to_owned()),
            ("MESSAGE", message.trim_end().to_owned()),
            ("TAG", self.tag()),
            ("TIMESTAMP", time),
        ]
        .map(|(name, value)| (name.to_owned(), value))
        .into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tag_is_one_whatever_the_branch() {
        let tag = |branch: &str| {
            let commit = "0123456789abcdef0123456789abcdef01234567".into();
            Facts { branch: branch.into(), commit, ..Facts::default() }.tag()
        };
        assert_eq!(tag("main"), "main-0123456789");
        assert_eq!(tag("-é"), "0123456789");
        for branch in ["main", "a b", "_x", "$(id)", &"é".repeat(300), &"a".repeat(300)] {
            assert_eq!(crate::model::name::check_tag(&tag(branch)), Ok(()), "{branch}");
        }
    }
}
