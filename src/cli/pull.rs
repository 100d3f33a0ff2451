//! `imk pull`: fetches what registries have of the targets, and builds nothing.

use super::args::{Global, PullArgs};
use super::failure::Failure;
use super::{open, out};
use crate::build::publish::{self, Pulled};
use crate::engine::Cancel;

pub fn run(global: &Global, args: &PullArgs) -> Result<(), Failure> {
    let mut session = open::session(global, true, &Cancel::default())?;
    let synced = open::synced(&mut session, &args.targets.words)?;
    if let Err(error) = &synced.engine {
        return Err(Failure::engine(error));
    }
    let pulled = publish::pull(&mut session, &synced);
    open::silent(&session);
    session.save()?;
    let mut text = out::Drawn::default();
    for (name, outcome) in &pulled {
        match outcome {
            Pulled::Here => {}
            Pulled::Fetched => out::line(format_args!("{name}: fetched")),
            Pulled::Nowhere => {
                let message = format!("no registry has image `{name}` as its files are now");
                text.push(&Failure::with_hint(message, "`imk` builds it, `imk plan` says why").text);
            }
            Pulled::Failed(error) => {
                text.push(&Failure::error(format!("image `{name}` was not fetched: {error}")).text);
            }
        }
    }
    let count = |wanted: &Pulled| pulled.values().filter(|outcome| *outcome == wanted).count();
    out::line(format_args!("{} here already, {} fetched", count(&Pulled::Here), count(&Pulled::Fetched)));
    if text.is_empty() { Ok(()) } else { Err(Failure { text, code: 2 }) }
}
