//! The rung this machine stands on, tried out, for whoever asks.

use std::path::Path;

use super::ask::ask;
use super::job::{Outcome, Task};
use super::rung::{self, Isolation, Rung};
use crate::engine::Cancel;

/// The abilities of this machine: the rung by name and whether it holds, tried out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Machine {
    /// The rung; none when there is none.
    pub rung: Option<Rung>,
    /// Its isolation in words with the reason why it is not the next higher one, or why there is none.
    pub text: String,
    /// Its shortcomings, each with its remedy.
    pub lacks: Vec<(String, String)>,
}

/// Looks the machine over, by trying. A store that is not there yet is not tried.
pub fn machine(isolation: Isolation, store: &Path) -> Machine {
    let none = |why: String| {
        let text = format!("rung none: images with RUN are refused: {why}");
        let lack = (text.clone(), rung::way_out().to_owned());
        Machine { rung: None, text, lacks: vec![lack] }
    };
    let rung = match rung::of(isolation) {
        Ok(rung) => rung,
        Err(why) => return none(why),
    };
    let tried = ask(rung, &Task::Probe(store.to_owned()), &|_| {}, &Cancel::default());
    let (overlay, sockets) = match tried {
        Ok(Outcome::Tried { overlay, sockets }) => (overlay, sockets),
        Ok(Outcome::Trouble { what, why }) => return none(format!("{what}: {why}")),
        Ok(Outcome::Ran { .. } | Outcome::Done) => return none("the keeper answered something else".into()),
        Err(error) => return none(error.to_string()),
    };
    let text = match rung {
        Rung::Root => "rung root, the highest: RUN has namespaces and users of its own",
        Rung::User => {
            "rung user: RUN has namespaces of its own, with this user as root; rung root needs CAP_SYS_ADMIN, which \
             this process does not have"
        }
        Rung::Chroot => {
            "rung chroot, since --isolation asks for it: RUN has a copy of the root and nothing else, no /proc and no wall"
        }
    };
    let mut lacks = Vec::new();
    if rung == Rung::User && rung::ranges().is_none() {
        lacks.push((
            "only one user is mapped, so chown and USER fail in RUN".to_owned(),
            "install newuidmap (Debian: uidmap) and give this user a range in /etc/subuid and /etc/subgid"
                .to_owned(),
        ));
    }
    if let Some(why) = overlay {
        lacks.push((
            format!("the store carries no overlay ({why}), so each RUN copies the root"),
            "a store on ext4, xfs, btrfs or tmpfs is faster: --store DIR".to_owned(),
        ));
    }
    if !sockets && rung != Rung::Chroot {
        lacks.push((
            "RUN can speak to sockets of this machine that have no path: its kernel keeps nobody from them"
                .to_owned(),
            "a kernel of 6.12 or newer with landlock does; RUN --network=none has none".to_owned(),
        ));
    }
    Machine { rung: Some(rung), text: text.into(), lacks }
}
