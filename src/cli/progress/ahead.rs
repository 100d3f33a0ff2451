//! How far a whole build is, as it is shown: a last line on a terminal, a word a minute elsewhere.
//!
//! Knows what was said last, and when. Counts nothing: `build/ahead` does.

use std::time::{Duration, Instant};

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};

use crate::build::summary::Ahead;
use crate::cli::words::quantity;

/// Where nothing moves, so often a word says that it goes on.
const SIGN: Duration = Duration::from_secs(60);

/// The words on the whole of a build.
#[derive(Default)]
pub struct Outlook {
    line: Option<ProgressBar>,
    last: Option<Ahead>,
    said: Option<Instant>,
}

impl Outlook {
    /// Adds the line of an image above the last line.
    pub fn add(&self, bars: &MultiProgress, bar: ProgressBar) -> ProgressBar {
        match &self.line {
            Some(line) => bars.insert_before(line, bar),
            None => bars.add(bar),
        }
    }

    /// Shows it as the last line of a terminal.
    pub fn show(&mut self, bars: &MultiProgress, ahead: &Ahead) {
        // The line of an image alone says all there is.
        if ahead.of < 2 {
            return self.end();
        }
        let line = self.line.get_or_insert_with(|| {
            let line = bars.add(ProgressBar::new_spinner());
            let style = ProgressStyle::with_template("  {wide_msg}");
            line.set_style(style.unwrap_or_else(|_| ProgressStyle::default_spinner()));
            line
        });
        line.set_message(sentence(ahead));
    }

    /// Takes the last line away.
    pub fn end(&mut self) {
        if let Some(line) = self.line.take() {
            line.finish_and_clear();
        }
    }

    /// The sentence, if it is time for a sign of life.
    pub fn sign(&mut self, ahead: &Ahead) -> Option<String> {
        let since = *self.said.get_or_insert_with(Instant::now);
        (since.elapsed() >= SIGN).then(|| {
            self.said = Some(Instant::now());
            sentence(ahead)
        })
    }

    /// Something else was said meanwhile, which is a sign of life as well.
    pub fn heard(&mut self) {
        self.said = Some(Instant::now());
    }

    /// Whether programs do not know it yet: the counts are others, or a minute has passed.
    pub fn is_news(&mut self, ahead: &Ahead) -> bool {
        let counts = |ahead: &Ahead| (ahead.built, ahead.of, ahead.running);
        let is_new = self.last.as_ref().map(counts) != Some(counts(ahead));
        self.last = Some(*ahead);
        let is_due = self.sign(ahead).is_some();
        if is_new {
            self.heard();
        }
        is_new || is_due
    }
}

/// `3 of 14 built, 2 running, about 40s left`.
fn sentence(ahead: &Ahead) -> String {
    let counts = format!("{} of {} built, {} running", ahead.built, ahead.of, ahead.running);
    match ahead.left {
        None => counts,
        // It takes longer than it used to, and nobody knows how much longer.
        Some(left) if left.is_zero() => counts,
        Some(left) => format!("{counts}, about {} left", quantity::roughly(left)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ahead(built: usize, left: Option<u64>) -> Ahead {
        Ahead { built, of: 14, running: 2, left: left.map(Duration::from_millis) }
    }

    #[test]
    fn the_whole_is_one_sentence_and_nothing_is_guessed() {
        assert_eq!(sentence(&ahead(3, Some(40_300))), "3 of 14 built, 2 running, about 41s left");
        assert_eq!(sentence(&ahead(3, Some(200_000))), "3 of 14 built, 2 running, about 4m left");
        assert_eq!(sentence(&ahead(3, None)), "3 of 14 built, 2 running");
        assert_eq!(sentence(&ahead(13, Some(0))), "13 of 14 built, 2 running");
    }

    #[test]
    fn programs_hear_counts_when_they_change_and_people_nothing_within_a_minute() {
        let mut outlook = Outlook::default();
        assert!(outlook.is_news(&ahead(3, Some(40_000))));
        assert!(!outlook.is_news(&ahead(3, Some(39_000))));
        assert!(outlook.is_news(&ahead(4, Some(38_000))));
        assert_eq!(outlook.sign(&ahead(4, None)), None);
        outlook.said = Instant::now().checked_sub(SIGN);
        assert!(outlook.sign(&ahead(4, None)).is_some());
        assert_eq!(outlook.sign(&ahead(4, None)), None, "not once more");
    }
}
