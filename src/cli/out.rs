//! The door to the screen: everything that imk prints goes through here.
//!
//! Standard output is for results, standard error for progress and trouble. Whatever is
//! handed in is quoted (`quote`), so a line stays a line: colours are imk's own, and are
//! told apart by type. A stream that is gone, full or slow never ends imk in the middle
//! of its work: a slow one is waited for, a reader that left is no error, a full disk is
//! told once when all is done, and trouble with standard error is nobody's.

use std::fmt::{self, Display};
use std::io::{self, ErrorKind, IsTerminal as _};

use anstream::{AutoStream, ColorChoice};
use anstyle::Style;
use parking_lot::{Mutex, MutexGuard};
use serde::Serialize;

use crate::cli::quote;

mod held;
pub mod live;
mod stream;

use held::Held;

/// One line, all of it quoted but imk's own colours.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Line(String);

impl Line {
    /// A line that begins with coloured text.
    pub fn styled(style: Style, text: impl Display) -> Self {
        Self(format!("{style}{}{style:#}", quote::line(&text.to_string())))
    }

    /// More of the line.
    pub fn and(mut self, text: impl Display) -> Self {
        self.0 += &quote::part(&text.to_string());
        self
    }

    /// With colours.
    #[cfg(test)]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl From<fmt::Arguments<'_>> for Line {
    fn from(text: fmt::Arguments<'_>) -> Self {
        Self::from(text.to_string())
    }
}

impl From<String> for Line {
    fn from(text: String) -> Self {
        Self(quote::line(&text))
    }
}

impl From<&String> for Line {
    fn from(text: &String) -> Self {
        Self(quote::line(text))
    }
}

impl From<&str> for Line {
    fn from(text: &str) -> Self {
        Self(quote::line(text))
    }
}

/// Whole lines in which foreign text is quoted already: errors as they are drawn, with
/// their excerpts and colours.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Drawn(String);

impl Drawn {
    /// Takes the drawer's word that nothing foreign in it is unquoted.
    pub fn quoted_already(text: String) -> Self {
        Self(text)
    }

    /// The text as it is written to a terminal.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// A result of one line.
pub fn line(text: impl Into<Line>) {
    results(&(text.into().0 + "\n"));
}

/// Results, a line each.
pub fn lines<L: Into<Line>>(lines: impl IntoIterator<Item = L>) {
    lines.into_iter().for_each(line);
}

/// A result with line ends of its own: a file that imk wrote, where its line ends are its own.
pub fn text(text: impl Display) {
    results(&quote::text(&text.to_string()));
}

/// A result for programs.
pub fn json(value: &impl Serialize) {
    document(serde_json::to_string_pretty(value));
}

/// A result for programs, on one line.
pub fn json_line(value: &impl Serialize) {
    document(serde_json::to_string(value));
}

fn document(text: serde_json::Result<String>) {
    match text {
        Ok(text) => results(&(quote::json(&text) + "\n")),
        // No answer of ours has a form that JSON lacks; if one had, the run must not end as if it had been shown.
        Err(error) => *state() = State::Failed(error.to_string()),
    }
}

/// Help and version, in clap's own colours.
pub fn help(text: &str) {
    results(text);
}

/// Bytes whose reader is a program that has a protocol for them, and no terminal.
pub fn bytes(bytes: &[u8]) {
    results_raw(bytes);
}

/// Bytes that a container wrote on its standard error, as they came.
pub fn error_bytes(bytes: &[u8]) {
    trouble_raw(bytes);
}

/// Holds everything back that would be written from now on, up to a limit: see `held`.
pub fn hold_back() {
    *HELD.lock() = Some(Held::default());
}

/// Writes what was held back, or forgets it; from now on all is written as it comes.
pub fn release(shown: bool) {
    let held = HELD.lock().take();
    if let Some(held) = held.filter(|_| shown) {
        held.give(|is_result, bytes| if is_result { results_raw(bytes) } else { trouble_raw(bytes) });
    }
}

/// Output that is held back; nothing is when `None`.
static HELD: Mutex<Option<Held>> = Mutex::new(None);

/// Whether these bytes are held back.
fn held(is_result: bool, bytes: &[u8]) -> bool {
    match &mut *HELD.lock() {
        Some(held) => {
            held.take(is_result, bytes);
            true
        }
        None => false,
    }
}

/// A line of progress or trouble.
pub fn note(text: impl Into<Line>) {
    trouble(&(text.into().0 + "\n"));
}

/// A warning: something to know that stops nothing.
pub fn warning(text: impl Display) {
    note(format_args!("warning: {text}"));
}

/// An error as it was drawn.
pub fn drawn(drawn: &Drawn) {
    trouble(&drawn.0);
}

/// An event for programs: JSON on one line of standard error.
pub fn event(json: &str) {
    trouble(&(quote::json(json) + "\n"));
}

/// Lines of a CI's own language, written as they are: without colour they are still wanted.
pub fn ci(commands: &Drawn) {
    let _ = live::aside(|| stream::write(io::stderr().lock(), commands.0.as_bytes()));
}

/// Whether standard error is a terminal.
pub fn has_screen() -> bool {
    io::stderr().is_terminal()
}

/// Whether standard output is a terminal.
pub fn is_terminal() -> bool {
    io::stdout().is_terminal()
}

/// Rows and columns of the terminal that standard output is; `None` when it is none.
pub fn size() -> Option<(u16, u16)> {
    let told = rustix::termios::tcgetwinsize(io::stdout()).ok()?;
    Some((told.ws_row, told.ws_col)).filter(|(rows, columns)| *rows > 0 && *columns > 0)
}

/// The columns of the terminal that standard output is; `None` when it is none.
pub fn columns() -> Option<usize> {
    let told = rustix::termios::tcgetwinsize(io::stdout()).ok()?;
    Some(usize::from(told.ws_col)).filter(|columns| *columns > 0)
}

/// Whether nobody reads standard output any more.
pub fn is_gone() -> bool {
    !matches!(*state(), State::Open)
}

/// The exit status of a command that ended with `code`: results that could not be written are an error.
pub fn status(code: u8) -> u8 {
    let failed = match &*state() {
        State::Failed(why) => why.clone(),
        State::Open | State::Gone => return code,
    };
    note(format_args!("error: the results could not be written to standard output: {failed}"));
    code.max(2)
}

/// The state of standard output.
enum State {
    Open,
    /// Its reader has seen enough (`imk graph | head -1`).
    Gone,
    Failed(String),
}

static STATE: Mutex<State> = Mutex::new(State::Open);

fn state() -> MutexGuard<'static, State> {
    STATE.lock()
}

fn results(text: &str) {
    let out = io::stdout();
    results_raw(coloured(text, AutoStream::choice(&out)).as_bytes());
}

fn results_raw(bytes: &[u8]) {
    if held(true, bytes) {
        return;
    }
    let mut state = state();
    if !matches!(*state, State::Open) {
        return;
    }
    if let Err(error) = live::aside(|| stream::write(io::stdout().lock(), bytes)) {
        *state = match error.kind() {
            ErrorKind::BrokenPipe => State::Gone,
            _ => State::Failed(error.to_string()),
        };
    }
}

fn trouble(text: &str) {
    let err = io::stderr();
    let text = coloured(text, AutoStream::choice(&err));
    trouble_raw(text.as_bytes());
}

fn trouble_raw(bytes: &[u8]) {
    if held(false, bytes) {
        return;
    }
    // Whoever closed it does not want to know.
    let _ = live::aside(|| stream::write(io::stderr().lock(), bytes));
}

fn coloured(text: &str, choice: ColorChoice) -> String {
    match choice {
        ColorChoice::Never => anstream::adapter::strip_str(text).to_string(),
        _ => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_colours_of_our_own_are_colours() {
        let bold = Style::new().bold();
        let line = Line::styled(bold, "a\u{1b}[8m\nb").and(": \u{1b}[0m");
        assert_eq!(line.0, "\u{1b}[1ma\\u{1b}[8m\\nb\u{1b}[0m: \\u{1b}[0m");
    }
}
