//! The state folder: its room, whether its files are whole, and whether what is remembered is true.

use super::check::{Check, clock};
use crate::cli::args::Global;
use crate::cli::failure::{Failure, cannot};
use crate::cli::words::quantity;
use crate::cli::{locate, open};
use crate::plan::ready;
use crate::plan::verdicts::{self, Plan, Verdict};
use crate::query::snapshot::{self, Health};
use crate::session::open::Session;
use crate::session::project;
use crate::source::locate::Located;
use crate::state::ledger;

const SECTION: &str = "state";

/// Below so many bytes of free room a build may fail.
const TIGHT: u64 = 1 << 30;
/// And below so many the ledger cannot be trusted to be written.
const FULL: u64 = 16 << 20;

pub(super) fn files(global: &Global, located: &Located) -> Vec<Check> {
    let folder = match locate::state(global, located) {
        Ok(folder) => folder,
        Err(failure) => {
            return vec![Check::fail(SECTION, failure.title(), "name a folder of your own with --state-dir")];
        }
    };
    let path = folder.path().unwrap_or_default();
    let shown = path.strip_prefix(&located.root).unwrap_or(&path).display();
    let mut checks = Vec::new();
    match folder.list() {
        Err(error) => {
            checks.push(Check::fail(SECTION, error.to_string(), "imk must be able to read and write there"));
        }
        Ok(files) if files.is_empty() => {
            checks.push(Check::ok(SECTION, format!("none yet in `{shown}`: nothing was built here")))
        }
        Ok(files) => {
            let big = files.iter().filter(|file| file.size_bytes >= 1000 && !file.name.starts_with('.'));
            let told: Vec<String> =
                big.map(|file| format!("{} {}", file.name, quantity::size(file.size_bytes))).collect();
            let whole = quantity::size(files.iter().map(|file| file.size_bytes).sum());
            checks.push(Check::ok(
                SECTION,
                format!(
                    "`{shown}` takes {whole}{}{}",
                    if told.is_empty() { "" } else { ": " },
                    told.join(", ")
                ),
            ));
        }
    }
    checks.push(match ledger::removed_images::health(&folder) {
        Ok((lines, 0)) => Check::ok(SECTION, format!("ledger: {lines} lines, all whole")),
        Ok((lines, broken)) => Check::warn(
            SECTION,
            format!("ledger: {broken} of {lines} lines say nothing to this imk"),
            "torn by a crash, or of another imk: each costs a build at most, and the next run drops a torn one",
        ),
        Err(error) => Check::fail(SECTION, error.to_string(), "imk must be able to read it; `imk clean` removes it"),
    });
    checks.push(match snapshot::health(&folder) {
        Health::Whole => Check::ok(SECTION, "snapshot: whole, and of this imk"),
        Health::Absent => Check::ok(SECTION, "snapshot: none; the next build writes one"),
        Health::Useless => Check::warn(
            SECTION,
            "snapshot: damaged, or of another imk, so it counts as none",
            "nothing: the next build writes a new one",
        ),
    });
    if let Some(free) = folder.free() {
        let text = format!("{} free on its disk", quantity::size(free));
        checks.push(match free {
            0..FULL => Check::fail(
                SECTION,
                text,
                "free some room: a build that cannot be written down does not count",
            ),
            FULL..TIGHT => {
                Check::warn(SECTION, text, "free some room; `imk gc -n` shows what imk could let go of")
            }
            _ => Check::ok(SECTION, text),
        });
    }
    if let Some(milliseconds) = folder.ahead() {
        checks.push(clock("the file system's clock", milliseconds));
    }
    checks
}

/// Compares what the snapshot and the known hashes of files say with an evaluation from nothing.
pub(super) fn comparison(global: &Global, session: &mut Session) -> Vec<Check> {
    let fingerprints = |session: &mut Session| -> Result<_, Failure> {
        let all: Vec<String> = project::names(&session.project).into_iter().collect();
        let synced = ready::sync(session, &all);
        let synced = synced.map_err(|error| crate::cli::failure::sync_error(error, session, &[]))?;
        let plan = verdicts::plan(session, &synced, false);
        Ok((verdicts::fingerprints(session, &synced, &plan), images(&plan)))
    };
    let mut compared = || -> Result<_, Failure> {
        let (remembered, _) = fingerprints(session)?;
        let nowhere = tempfile::tempdir().map_err(cannot("make a temporary folder"))?;
        let (fresh, images) = fingerprints(&mut open::fresh_session(global, nowhere.path())?)?;
        Ok((remembered, fresh, images))
    };
    let (remembered, fresh, images) = match compared() {
        Ok(both) => both,
        Err(failure) => {
            return vec![Check::fail("keys", failure.title(), "`imk plan` shows the mistake")];
        }
    };
    let differ: Vec<String> = fresh
        .iter()
        .filter(|(name, key)| remembered.get(*name) != Some(key))
        .map(|(name, _)| format!("`{name}`"))
        .collect();
    if differ.is_empty() {
        let text =
            format!("{} images: what is remembered is what comes of reading everything again", fresh.len());
        return vec![images, Check::ok("keys", text)];
    }
    let text =
        format!("what is remembered of {} is not what comes of reading everything again", differ.join(", "));
    let advice = "a bug in imk, or files changed meanwhile: run it again; `imk clean` mends it; please report it with `imk doctor --json`";
    vec![images, Check::fail("keys", text, advice)]
}

/// The check of all images: can each be built, as far as its files say?
fn images(plan: &Plan) -> Check {
    let broken = plan.jobs.iter().filter(|(_, verdict)| verdict.is_broken());
    let broken: Vec<String> = broken.map(|(name, _)| format!("`{name}`")).collect();
    let mistake = plan.jobs.iter().find_map(|(_, verdict)| match verdict {
        Verdict::Invalid(problems) => problems.first(),
        _ => None,
    });
    let all = plan.jobs.len();
    match broken.len() {
        0 => Check::ok("images", format!("{all} images, none with a mistake")),
        some => {
            let why = mistake.map_or(String::new(), |mistake| format!(": {}", mistake.message));
            let text = format!("{some} of {all} images cannot be built, {}{why}", broken.join(", "));
            Check::fail("images", text, "`imk plan` shows every mistake; the other images build")
        }
    }
}
