//! The live part of the screen: lines below all others that are drawn again and again.
//!
//! Whatever else is printed stands above them: they are taken away for it, so that a line ends
//! where it ends also after the window has got another width. What is drawn goes to standard error by
//! the way of everything else (`stream`), and so never ends imk. Knows nothing of what is shown.

use std::io;

use indicatif::{MultiProgress, ProgressDrawTarget, TermLike};
use parking_lot::Mutex;

use super::stream;

/// Times a second that lines are drawn at the most.
const RATE: u8 = 20;
/// The columns of a screen that does not say.
const COLUMNS: u16 = 80;

static LIVE: Mutex<Option<MultiProgress>> = Mutex::new(None);

/// Begins to show live lines, in place of those of an earlier display.
pub fn begin() -> MultiProgress {
    let target = ProgressDrawTarget::term_like_with_hz(Box::new(Screen::default()), RATE);
    let bars = MultiProgress::with_draw_target(target);
    *LIVE.lock() = Some(bars.clone());
    bars
}

/// Nothing is live any more.
pub fn end() {
    *LIVE.lock() = None;
}

/// Prints beside the live lines, if there are any.
pub(super) fn aside<R>(print: impl FnOnce() -> R) -> R {
    let bars = LIVE.lock().clone();
    match bars {
        Some(bars) => bars.suspend(print),
        None => print(),
    }
}

/// Standard error as a terminal. What is drawn at one time is written at one time.
#[derive(Debug, Default)]
struct Screen(Mutex<String>);

impl Screen {
    fn add(&self, text: &str) -> io::Result<()> {
        self.0.lock().push_str(text);
        Ok(())
    }

    fn motion(&self, count: usize, letter: char) -> io::Result<()> {
        if count == 0 { Ok(()) } else { self.add(&format!("\x1b[{count}{letter}")) }
    }
}

impl TermLike for Screen {
    fn width(&self) -> u16 {
        let told = rustix::termios::tcgetwinsize(io::stderr());
        told.ok().map(|size| size.ws_col).filter(|columns| *columns > 0).unwrap_or(COLUMNS)
    }

    fn height(&self) -> u16 {
        let told = rustix::termios::tcgetwinsize(io::stderr());
        told.ok().map(|size| size.ws_row).filter(|rows| *rows > 0).unwrap_or(24)
    }

    fn move_cursor_up(&self, n: usize) -> io::Result<()> {
        self.motion(n, 'A')
    }

    fn move_cursor_down(&self, n: usize) -> io::Result<()> {
        self.motion(n, 'B')
    }

    fn move_cursor_right(&self, n: usize) -> io::Result<()> {
        self.motion(n, 'C')
    }

    fn move_cursor_left(&self, n: usize) -> io::Result<()> {
        self.motion(n, 'D')
    }

    fn write_line(&self, s: &str) -> io::Result<()> {
        self.add(s)?;
        self.add("\n")
    }

    fn write_str(&self, s: &str) -> io::Result<()> {
        self.add(s)
    }

    fn clear_line(&self) -> io::Result<()> {
        self.add("\r\x1b[2K")
    }

    fn flush(&self) -> io::Result<()> {
        let drawn = std::mem::take(&mut *self.0.lock());
        if !drawn.is_empty() {
            // Who closed it does not want to know, and indicatif would panic over it.
            let _ = stream::write(io::stderr().lock(), drawn.as_bytes());
        }
        Ok(())
    }
}
