//! The raw status of a job: a line for every step and every command, as `/status` shows it and `$LOG` holds it.

use super::facts::Facts;

/// A command is shown so long.
const SHOWN: usize = 64;
/// A line of output is shown so long.
const LINE: usize = 400;
/// Lines of one command's output that are kept with `debug: true`; the last ones.
const OUTPUT: usize = 100;
/// Lines of a whole report.
const MOST: usize = 1000;
/// Bytes of `$LOG`: the system takes no variable of more than 128 KiB.
const LOG: usize = 96 * 1024;

/// The status so far.
#[derive(Clone, Debug, Default)]
pub struct Report {
    lines: Vec<String>,
    /// Lines for `$LOG`: the commands that ran, with the output of steps that have `debug`.
    abridged: Vec<String>,
}

impl Report {
    /// A report that begins with the commit.
    pub fn of(facts: &Facts) -> Self {
        let message = shown(facts.message.lines().next().unwrap_or_default(), LINE);
        let lines = vec![format!("- commit {} ({message})", facts.commit_short())];
        Self { lines, abridged: Vec::new() }
    }

    /// A step begins.
    pub fn step(&mut self, title: &str) {
        self.add(format!("- {}", shown(title, LINE)));
    }

    /// A command has ended; `output` is none where the step has no `debug`.
    pub fn ended(&mut self, command: &str, is_good: bool, seconds: u64, output: Option<&str>) {
        let status = if is_good { "passed" } else { "failed" };
        let line = format!("[{status}] {}... ({seconds} seconds)", shown(command, SHOWN));
        self.abridged.push(line.clone());
        self.add(line);
        let all: Vec<&str> = output.unwrap_or_default().lines().collect();
        for said in &all[all.len().saturating_sub(OUTPUT)..] {
            let line = format!("[{status}]   . {}", shown(said, LINE));
            self.abridged.push(line.clone());
            self.add(line);
        }
    }

    /// A command was left out, after a failure.
    pub fn skipped(&mut self, command: &str) {
        self.add(format!("[skipped] {}", shown(command, SHOWN)));
    }

    /// Something went wrong that is no command's.
    pub fn trouble(&mut self, why: &str) {
        let line = format!("* {}", shown(why, LINE));
        self.abridged.push(line.clone());
        self.add(line);
    }

    /// The lines.
    pub fn lines(&self) -> &[String] {
        &self.lines
    }

    /// `$LOG`: a JSON array; of one that is too long, the last lines.
    pub fn log(&self) -> String {
        let mut room = LOG;
        let quoted = |line: &String| serde_json::to_string(line).unwrap_or_default();
        let mut kept: Vec<String> = self
            .abridged
            .iter()
            .rev()
            .map(quoted)
            .take_while(|line| {
                let fits = line.len() < room;
                room = room.saturating_sub(line.len() + 1);
                fits
            })
            .collect();
        kept.reverse();
        format!("[{}]", kept.join(","))
    }

    fn add(&mut self, line: String) {
        match self.lines.len() {
            ..MOST => self.lines.push(line),
            MOST => self.lines.push("* more lines than are kept".to_owned()),
            _ => {}
        }
    }
}

/// A text of one line and a limited length, without control characters.
fn shown(text: &str, longest: usize) -> String {
    let plain = text.trim_end().chars().map(|c| if c.is_control() { ' ' } else { c });
    plain.take(longest).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report() -> Report {
        Report::of(&Facts {
            commit: "44d27e9096aaaaaaaaaa".into(),
            message: "CSE-129 mend the build\n\nmore".into(),
            ..Facts::default()
        })
    }

    #[test]
    fn the_raw_status_has_the_form_it_always_had() {
        let mut report = report();
        report.step("build and push");
        report.ended("echo \"$MESSAGE ($COMMIT_SHORT)\" > BUILD", true, 0, None);
        report.ended(
            "if true ; then\n  tools hipchat -c green 883987 \"build passed\" and a lot more",
            true,
            27,
            Some("a\nb"),
        );
        report.ended("false", false, 1, None);
        report.skipped("make");
        report.trouble("it took longer than 2h");
        assert_eq!(
            report.lines(),
            [
                "- commit 44d27e9096 (CSE-129 mend the build)",
                "- build and push",
                "[passed] echo \"$MESSAGE ($COMMIT_SHORT)\" > BUILD... (0 seconds)",
                "[passed] if true ; then   tools hipchat -c green 883987 \"build passed\" an... (27 seconds)",
                "[passed]   . a",
                "[passed]   . b",
                "[failed] false... (1 seconds)",
                "[skipped] make",
                "* it took longer than 2h",
            ]
        );
        let log: Vec<String> = serde_json::from_str(&report.log()).unwrap();
        assert_eq!(log.len(), 6);
        assert!(log[0].starts_with("[passed] echo") && log[1].starts_with("[passed] if"));
    }

    #[test]
    fn a_report_and_its_variable_have_limits() {
        let mut report = report();
        for number in 0..100 {
            report.ended(&format!("command {number}"), true, 0, Some(&"é\n".repeat(1000)));
            report.ended("x", true, 0, Some(&"\u{1}é".repeat(10_000)));
        }
        assert_eq!(report.lines().len(), MOST + 1);
        assert!(report.log().len() <= LOG + 2);
        let log: Vec<String> = serde_json::from_str(&report.log()).unwrap();
        assert!(log.len() > 10);
    }
}
