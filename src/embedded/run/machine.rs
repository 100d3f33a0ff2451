//! The rung this machine stands on, tried out, for whoever asks.

use super::ask::ask;
use super::job::{Outcome, Task};
use super::rung::{self, Isolation, Rung};
use crate::engine::Cancel;

/// The abilities of this machine: the rung by name and whether it holds, tried out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Machine {
    /// The rung; none when there is none.
    pub rung: Option<Rung>,
    /// Its isolation in words, or why there is none.
    pub text: String,
    /// Its shortcomings, and the remedy.
    pub lacks: Option<String>,
}

/// Looks the machine over, by trying.
pub fn machine(isolation: Isolation, store: &std::path::Path) -> Machine {
    let none = |text: String| Machine { rung: None, text, lacks: Some(rung::way_out().to_owned()) };
    let rung = match rung::of(isolation) {
        Ok(rung) => rung,
        Err(why) => return none(format!("rung none: images with RUN are refused: {why}")),
    };
    let tried = ask(rung, &Task::Probe(store.to_owned()), &|_| {}, &Cancel::default());
    match tried {
        Ok(Outcome::Done) => {}
        Ok(Outcome::Trouble { what, why }) => return none(format!("rung none: {what}: {why}")),
        Ok(Outcome::Ran { .. }) => return none("rung none: the keeper answered something else".into()),
        Err(error) => return none(format!("rung none: {error}")),
    }
    let text = match rung {
        Rung::Root => "rung root: RUN has namespaces of its own and an overlay",
        Rung::User => "rung user: RUN has namespaces of its own and an overlay, with this user as root",
        Rung::Chroot => "rung chroot: RUN has a copy of the root and nothing else: no /proc, and no wall",
    };
    let lacks = (rung == Rung::User && rung::ranges().is_none()).then(|| {
        "only one user is mapped, so chown and USER fail in RUN: install newuidmap (Debian: uidmap) and give this user a range in /etc/subuid and /etc/subgid"
            .to_owned()
    });
    Machine { rung: Some(rung), text: text.into(), lacks }
}
