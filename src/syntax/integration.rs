//! `integration.yml`: the steps that a repository wants done when a branch of it moves.
//!
//! One step or a list of them; every mistake is told with its place. Knows no variables' values, runs nothing, and opens no
//! folder: that `cwd` stays within a checkout whose links lead anywhere is for whoever goes there.

use crate::syntax::error::{Span, SyntaxError};
use crate::syntax::suggest::did_you_mean;
use crate::syntax::yaml::{self, Node, Shared, Value};

/// Longer files are refused: no person wrote them.
const LONGEST: usize = 256 * 1024;
/// More steps or lines are refused.
const MOST: usize = 1000;
/// The word before a line that runs after a failure too.
const ALWAYS: &str = "no-skip";
/// The keys of a step.
const KEYS: &[&str] = &["step", "cwd", "shell", "env", "debug", "no-skip"];

/// Steps in their order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Integration {
    /// The steps, one at least.
    pub steps: Vec<Step>,
}

/// Lines for a shell, in one folder and one environment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Step {
    /// Its title.
    pub title: String,
    /// The folder below the repository's root; empty for the root itself. Never absolute, and without `..`.
    pub cwd: String,
    /// The lines, each for a shell of its own.
    pub shell: Vec<Line>,
    /// Variables of the step, in the order of the file.
    pub env: Vec<(String, String)>,
    /// Whether its output enters `$LOG` and the raw status.
    pub debug: bool,
}

/// A line for a shell.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Line {
    /// The command, without `no-skip`.
    pub command: String,
    /// Whether it runs after a failure too.
    pub always: bool,
}

/// Reads an `integration.yml`.
///
/// # Errors
/// Every mistake in it.
///
/// ```
/// let steps = imk::syntax::integration::read("step: say hello\nshell:\n- echo hello\n- no-skip echo bye\n");
/// let steps = steps.expect("no mistakes").steps;
/// assert_eq!((steps[0].title.as_str(), steps[0].shell[1].always), ("say hello", true));
/// ```
pub fn read(text: &str) -> Result<Integration, Vec<SyntaxError>> {
    if text.len() > LONGEST {
        let message = format!("this file has more than {} KiB", LONGEST / 1024);
        return Err(vec![SyntaxError::new(Span::new(0, 0), message)]);
    }
    let documents = yaml::read(text).map_err(|error| vec![error])?;
    let mut reader = Reader { errors: Vec::new(), lines: 0 };
    let start = Span::first_of(text);
    let steps = match documents.as_slice() {
        [one] => reader.steps(one),
        [] => {
            reader.wrong(start, "there is no step in this file");
            Vec::new()
        }
        [_, second, ..] => {
            reader.wrong(second.span, "a second document; steps stand in one list");
            Vec::new()
        }
    };
    if reader.errors.is_empty() { Ok(Integration { steps }) } else { Err(reader.errors) }
}

struct Reader {
    errors: Vec<SyntaxError>,
    /// Lines so far: aliases can make many of few.
    lines: usize,
}

impl Reader {
    fn wrong(&mut self, span: Span, message: impl Into<String>) {
        self.errors.push(SyntaxError::new(span, message));
    }

    fn steps(&mut self, root: &Shared) -> Vec<Step> {
        match &root.value {
            Value::Map(_) => self.step(root).into_iter().collect(),
            Value::List(items) if items.len() > MOST => {
                self.wrong(root.span, format!("more than {MOST} steps"));
                Vec::new()
            }
            Value::List(items) if !items.is_empty() => {
                items.iter().filter_map(|item| self.step(item)).collect()
            }
            _ => {
                let error = SyntaxError::new(root.span, "there is no step in this file");
                self.errors.push(error.hint("write `step:` with a title and `shell:` with a list of lines"));
                Vec::new()
            }
        }
    }

    fn step(&mut self, node: &Shared) -> Option<Step> {
        if !matches!(node.value, Value::Map(_)) {
            self.wrong(node.span, "a step has the keys `step` and `shell`");
            return None;
        }
        for (key, _) in node.entries() {
            if !KEYS.contains(&key.text.as_str()) {
                let error = SyntaxError::new(key.span, format!("a step has no key `{}`", key.text));
                let hint = did_you_mean(&key.text, KEYS.iter().copied());
                self.errors
                    .push(error.hint(hint.unwrap_or_else(|| format!("its keys: {}", KEYS.join(", ")))));
            }
        }
        let title = self.needed(node, "step").and_then(|node| self.text(&node)).unwrap_or_default();
        let shell = self.needed(node, "shell");
        let always = self.flag(node, "no-skip");
        let shell = shell.map(|node| self.shell(&node, always)).unwrap_or_default();
        let cwd = node.get("cwd").cloned().and_then(|node| self.folder(&node)).unwrap_or_default();
        let env = node.get("env").cloned().map(|node| self.variables(&node)).unwrap_or_default();
        let debug = self.flag(node, "debug");
        Some(Step { title, cwd, shell, env, debug })
    }

    fn needed(&mut self, node: &Node, key: &str) -> Option<Shared> {
        let found = node.get(key).filter(|node| !matches!(node.value, Value::Null)).cloned();
        if found.is_none() {
            self.wrong(node.span, format!("the step has no `{key}`"));
        }
        found
    }

    fn text(&mut self, node: &Node) -> Option<String> {
        let text = node.text().map(str::to_owned);
        match &text {
            None => self.wrong(node.span, "this is to be a text"),
            Some(text) if text.contains('\0') => self.wrong(node.span, "no command can hold a zero byte"),
            Some(_) => {}
        }
        text
    }

    fn shell(&mut self, node: &Shared, always: bool) -> Vec<Line> {
        let items = node.items();
        if items.is_empty() {
            self.wrong(node.span, "`shell` is a list of lines");
        }
        self.lines += items.len();
        if self.lines > MOST {
            self.wrong(node.span, format!("more than {MOST} lines"));
            return Vec::new();
        }
        let lines = items.iter().filter_map(|item| {
            let text = self.text(item)?;
            let marked = text.strip_prefix(ALWAYS).filter(|rest| rest.starts_with(' '));
            let command = marked.map_or(text.as_str(), str::trim_start).to_owned();
            if command.trim().is_empty() {
                self.wrong(item.span, "this line says nothing");
            }
            Some(Line { always: always || marked.is_some(), command })
        });
        lines.collect()
    }

    fn folder(&mut self, node: &Node) -> Option<String> {
        let text = self.text(node)?;
        let parts: Vec<&str> = text.split('/').filter(|part| !matches!(*part, "" | ".")).collect();
        if text.starts_with('/') || parts.contains(&"..") {
            let error = SyntaxError::new(node.span, format!("`{text}` leads out of the repository"));
            self.errors.push(error.hint("`cwd` is a folder below the repository's root, such as app"));
            return None;
        }
        Some(parts.join("/"))
    }

    fn variables(&mut self, node: &Node) -> Vec<(String, String)> {
        if !matches!(node.value, Value::Map(_) | Value::Null) {
            self.wrong(node.span, "`env` is a map of names and values");
        }
        let mut variables = Vec::new();
        for (key, value) in node.entries() {
            let is_name = !key.text.is_empty()
                && !key.text.starts_with(|c: char| c.is_ascii_digit())
                && key.text.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
            if !is_name {
                self.wrong(key.span, format!("`{}` cannot be the name of a variable", key.text));
            }
            let value = match value.value {
                Value::Null => Some(String::new()),
                _ => self.text(value),
            };
            variables.extend(value.map(|value| (key.text.clone(), value)));
        }
        variables
    }

    fn flag(&mut self, node: &Node, key: &str) -> bool {
        let Some(node) = node.get(key) else { return false };
        match node.text().map(str::to_ascii_lowercase).as_deref() {
            Some("true" | "yes" | "on" | "1") => true,
            Some("false" | "no" | "off" | "0") => false,
            _ => {
                self.wrong(node.span, format!("`{key}` is true or false"));
                false
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(text: &str) -> Vec<String> {
        let errors = read(text).unwrap_err();
        let told = |error: &SyntaxError| {
            let (line, column) = error.span.line_and_column(text);
            format!(
                "{line}:{column}: {}{}",
                error.message,
                error.hint.iter().map(|hint| format!("; {hint}")).collect::<String>()
            )
        };
        errors.iter().map(told).collect()
    }

    #[test]
    fn one_step_is_as_good_as_a_list_of_one() {
        let one = read("step:  build my app\ncwd: ./app//src/\nenv:\n  FOO: bar\n  N: 7\n  B: true\n  E:\ndebug: true\nshell:\n- sbt clean\n").unwrap();
        let list = read("- step: build my app\n  cwd: app/src\n  env: {FOO: bar, N: '7', B: \"true\", E: ''}\n  debug: on\n  shell: sbt clean\n").unwrap();
        assert_eq!(one, list);
        let [step] = one.steps.as_slice() else { panic!("{one:?}") };
        assert_eq!((step.title.as_str(), step.cwd.as_str(), step.debug), ("build my app", "app/src", true));
        let env: Vec<String> = step.env.iter().map(|(name, value)| format!("{name}={value}")).collect();
        assert_eq!(env, ["FOO=bar", "N=7", "B=true", "E="]);
    }

    #[test]
    fn a_line_marked_so_runs_after_a_failure_too() {
        let read = read("- step: a\n  shell:\n  - 0xdeadbeef\n  - no-skip echo hello\n  - no-skipping\n  - |\n    if true; then\n      echo\n    fi\n- step: b\n  no-skip: true\n  shell: [x]\n").unwrap();
        let lines: Vec<(&str, bool)> = read
            .steps
            .iter()
            .flat_map(|step| &step.shell)
            .map(|line| (line.command.as_str(), line.always))
            .collect();
        let expected = [
            ("0xdeadbeef", false),
            ("echo hello", true),
            ("no-skipping", false),
            ("if true; then\n  echo\nfi\n", false),
            ("x", true),
        ];
        assert_eq!(lines, expected);
    }

    #[test]
    fn every_mistake_is_told_with_its_place() {
        let text = "- step: a\n  cmd: x\n  shel:\n  - a\n- step: b\n  cwd: ../x\n  env: {1A: x, B: [1]}\n  debug: maybe\n  shell: ['no-skip ', [a]]\n- x\n";
        assert_eq!(
            told(text),
            [
                "2:3: a step has no key `cmd`; did you mean `cwd`?",
                "3:3: a step has no key `shel`; did you mean `shell`?",
                "1:3: the step has no `shell`",
                "9:11: this line says nothing",
                "9:23: this is to be a text",
                "6:8: `../x` leads out of the repository; `cwd` is a folder below the repository's root, such as app",
                "7:9: `1A` cannot be the name of a variable",
                "7:19: this is to be a text",
                "8:10: `debug` is true or false",
                "10:3: a step has the keys `step` and `shell`",
            ]
        );
    }

    #[test]
    fn texts_that_hold_no_steps_are_refused() {
        for text in [
            "",
            "# nothing\n",
            "[]",
            "7",
            "null",
            "a: b",
            "- ",
            "step: a\n---\nstep: b\n",
            "step: [a]\nshell: [b]\n",
            "step: a\nshell: {b: c}\n",
            "step: a\nshell:\n",
            "{",
            "step: a\ncwd: /etc\nshell: [b]",
        ] {
            assert!(read(text).is_err(), "{text}");
        }
        let many = format!("- &a {{step: a, shell: [{}]}}\n{}", "x, ".repeat(900), "- *a\n".repeat(900));
        assert!(read(&many).is_err());
        assert!(read(&"- ".repeat(200_000)).is_err());
    }
}
