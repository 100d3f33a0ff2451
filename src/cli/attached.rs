//! A container in the foreground of this terminal: its output here, our input, signals and sizes there.
//!
//! A terminal is in raw mode meanwhile, and as it was on every way out. Knows nothing of images.

use std::io::{self, IsTerminal as _};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use bytes::Bytes;
use rustix::termios::{OptionalActions, Termios, tcgetattr, tcsetattr};
use signal_hook::consts::{SIGALRM, SIGCONT, SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGUSR1, SIGUSR2, SIGWINCH};
use signal_hook::iterator::Signals;
use tokio::sync::mpsc::{Sender, UnboundedReceiver, UnboundedSender, channel, unbounded_channel};

use crate::cli::out;
use crate::containers::{Channel, ContainerId, Containers, Control, Conversation, End};
use crate::engine::{Cancel, EngineError};

/// Ctrl-P Ctrl-Q leave a container alone, as docker has it.
const LEAVE: [u8; 2] = [0x10, 0x11];
/// Requests to end that are handed on before the container is killed for not heeding them.
const PATIENCE: usize = 3;
/// Pieces of input on their way.
const AHEAD: usize = 16;

/// Whether a container that is run here can have our terminal: input and output must both be it.
pub fn has_terminal() -> bool {
    io::stdin().is_terminal() && out::is_terminal()
}

/// The kind of conversation that is wanted.
#[derive(Clone, Copy, Debug)]
pub struct Wanted {
    /// The container has a terminal.
    pub tty: bool,
    /// The engine removes it when it ends.
    pub remove: bool,
    /// It reads our input.
    pub input: bool,
}

/// Signals of this process: until there is a container they stop what is under way, from then on they are its own.
pub struct Heard {
    sender: UnboundedSender<Control>,
    receiver: UnboundedReceiver<Control>,
    has_container: Arc<AtomicBool>,
    cancel: Cancel,
}

/// Begins to hear signals. The first that asks to end cancels, a second one ends imk at once.
///
/// # Errors
/// When the system does not allow it.
pub fn hear(cancel: &Cancel) -> io::Result<Heard> {
    let (sender, receiver) = unbounded_channel();
    let mut signals =
        Signals::new([SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGUSR1, SIGUSR2, SIGALRM, SIGCONT, SIGWINCH])?;
    let has_container = Arc::new(AtomicBool::new(false));
    let (told, asked_of, is_containers) = (sender.clone(), cancel.clone(), Arc::clone(&has_container));
    thread::spawn(move || {
        let mut asked = 0;
        for signal in signals.forever() {
            let ends = matches!(signal, SIGINT | SIGTERM | SIGHUP | SIGQUIT);
            if !is_containers.load(Ordering::SeqCst) {
                if ends && asked_of.is_cancelled() {
                    #[expect(clippy::exit, reason = "a second Ctrl-C does not wait for anybody")]
                    std::process::exit(130);
                }
                if ends {
                    asked_of.cancel();
                }
                // One that came while signals were handed over is the container's as well.
                if !is_containers.load(Ordering::SeqCst) {
                    continue;
                }
            }
            asked += usize::from(matches!(signal, SIGINT | SIGTERM));
            let control = match signal {
                SIGWINCH => match out::size() {
                    Some((rows, columns)) => Control::Resize(rows, columns),
                    None => continue,
                },
                _ if asked >= PATIENCE => Control::Signal("KILL".into()),
                signal => Control::Signal(name(signal).into()),
            };
            if told.send(control).is_err() {
                return;
            }
        }
    });
    Ok(Heard { sender, receiver, has_container, cancel: cancel.clone() })
}

impl Heard {
    /// Asks something of the container, as a signal would.
    pub fn asker(&self) -> UnboundedSender<Control> {
        self.sender.clone()
    }

    /// Signals are for a container from now on.
    ///
    /// # Errors
    /// When one came before that asks to end.
    pub fn hand_over(&self) -> Result<(), EngineError> {
        self.has_container.store(true, Ordering::SeqCst);
        if self.cancel.is_cancelled() { Err(EngineError::Interrupted) } else { Ok(()) }
    }
}

fn name(signal: i32) -> &'static str {
    match signal {
        SIGHUP => "HUP",
        SIGINT => "INT",
        SIGQUIT => "QUIT",
        SIGUSR1 => "USR1",
        SIGUSR2 => "USR2",
        SIGALRM => "ALRM",
        SIGCONT => "CONT",
        _ => "TERM",
    }
}

/// Starts a container and stays with it. `output` is handed what it writes.
///
/// # Errors
/// When the engine does not start it, or is lost.
pub fn attached(
    containers: &dyn Containers,
    container: &ContainerId,
    wanted: Wanted,
    heard: Heard,
    output: &(dyn Fn(Channel, &[u8]) + Sync),
) -> Result<End, EngineError> {
    heard.hand_over()?;
    let Heard { sender, receiver, .. } = heard;
    let _terminal = wanted.tty.then(Raw::enter).flatten();
    if wanted.tty
        && let Some((rows, columns)) = out::size()
    {
        // It is heard as soon as the container runs.
        let _ = sender.send(Control::Resize(rows, columns));
    }
    let asker = sender.clone();
    let input = wanted.input.then(|| {
        let (pieces, input) = channel(AHEAD);
        let leave = wanted.tty.then(|| sender.clone());
        // Nothing ends a thread that reads: it goes with the program.
        thread::spawn(move || read_input(&pieces, leave.as_ref()));
        input
    });
    let told_of_the_end = AtomicBool::new(false);
    let shown = |channel: Channel, bytes: &[u8]| {
        output(channel, bytes);
        // Whoever read the output left: the container hears what a program in a pipe hears.
        if out::is_gone() && !told_of_the_end.swap(true, Ordering::SeqCst) {
            let _ = asker.send(Control::Signal("PIPE".into()));
        }
    };
    let conversation =
        Conversation { tty: wanted.tty, remove: wanted.remove, output: &shown, input, control: receiver };
    containers.converse(container, conversation)
}

/// Hands our input on, piece by piece. With a terminal, the keys that leave the container are heard here.
fn read_input(pieces: &Sender<Bytes>, leave: Option<&UnboundedSender<Control>>) {
    let mut buffer = [0; 8192];
    let mut held = false;
    loop {
        let count = match rustix::io::read(io::stdin(), &mut buffer) {
            Ok(0) => break,
            Ok(count) => count,
            Err(rustix::io::Errno::INTR) => continue,
            Err(rustix::io::Errno::AGAIN) => {
                let stdin = io::stdin();
                let mut wait = [rustix::event::PollFd::new(&stdin, rustix::event::PollFlags::IN)];
                let _ = rustix::event::poll(&mut wait, None);
                continue;
            }
            Err(_) => break,
        };
        let mut piece = buffer[..count].to_vec();
        if let Some(leave) = leave {
            // The first key waits for the second.
            if std::mem::take(&mut held) {
                piece.insert(0, LEAVE[0]);
            }
            if piece.windows(LEAVE.len()).any(|keys| keys == LEAVE) {
                let _ = leave.send(Control::Detach);
                return;
            }
            held = piece.last() == Some(&LEAVE[0]);
            if held {
                piece.pop();
            }
        }
        if !piece.is_empty() && pieces.blocking_send(piece.into()).is_err() {
            return;
        }
    }
}

/// Our terminal in raw mode, until dropped.
struct Raw(Termios);

impl Raw {
    fn enter() -> Option<Self> {
        if !io::stdin().is_terminal() {
            return None;
        }
        let before = tcgetattr(io::stdin()).ok()?;
        let mut raw = before.clone();
        raw.make_raw();
        tcsetattr(io::stdin(), OptionalActions::Now, &raw).ok()?;
        Some(Self(before))
    }
}

impl Drop for Raw {
    fn drop(&mut self) {
        let _ = tcsetattr(io::stdin(), OptionalActions::Drain, &self.0);
    }
}
