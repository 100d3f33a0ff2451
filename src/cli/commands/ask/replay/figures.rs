//! A replay in words and figures that the screen and the page share.

use crate::cli::words;
use crate::replay::costs::Replay;
use crate::replay::sums::{Builds, Sums};

/// The rules by name, each with its figure.
pub fn rules(builds: &Builds) -> [(&'static str, usize); 4] {
    [
        ("rebuild all", builds.all),
        ("whole context hash", builds.context),
        ("Shipwright's rule", builds.shipwright),
        ("imk", builds.imk),
    ]
}

/// Which commits: `300 commits, 1a2b3c4 (2024-01-02) to 5d6e7f8 (2024-06-07)`.
pub fn headline(replay: &Replay) -> String {
    let ends = [replay.steps.first(), replay.steps.last()].map(|step| {
        step.map(|step| format!("{} ({})", short(&step.commit.id), day(step.commit.time))).unwrap_or_default()
    });
    match replay.steps.len() {
        0 => "no commits".into(),
        1 => format!("1 commit, {}", ends[0]),
        count => format!("{count} commits, {} to {}", ends[0], ends[1]),
    }
}

pub fn short(id: &str) -> &str {
    &id[..id.len().min(7)]
}

pub fn day(time: i64) -> String {
    jiff::Timestamp::from_second(time).map_or_else(|_| "?".into(), |time| time.strftime("%F").to_string())
}

pub fn share(part: usize, whole: usize) -> String {
    let tenths = (part * 1000 + whole / 2) / whole.max(1);
    format!("{}.{}%", tenths / 10, tenths % 10)
}

/// The limits of the figures, in whole sentences.
pub fn remarks(replay: &Replay, sums: &Sums) -> Vec<String> {
    let commits = |count: usize| if count == 1 { "1 commit".into() } else { format!("{count} commits") };
    let mut remarks = Vec::new();
    if sums.skipped > 0 {
        let first = replay.steps.iter().find_map(|step| Some((&step.commit.id, step.skipped.as_ref()?)));
        let (id, why) = first.map_or(("", ""), |(id, why)| (short(id), why));
        remarks.push(format!("{} skipped, {id} for one: {why}", commits(sums.skipped)));
    }
    if sums.with_mistakes > 0 {
        let mut all =
            replay.steps.iter().filter_map(|step| Some((&step.commit.id, step.mistakes.first_key_value()?)));
        let (id, name, why) = all.next().map_or(("", "", ""), |(id, (name, why))| (short(id), name, why));
        let with = commits(sums.with_mistakes);
        remarks.push(format!("{with} with mistakes in some image, {id} for one: {name}: {why}"));
    }
    if sums.with_ignored > 0 {
        let mut all = replay.steps.iter().filter_map(|step| step.ignored.first_key_value());
        let (name, path) = all.next().map_or(("", ""), |(name, path)| (name, path));
        let with = commits(sums.with_ignored);
        let why = words::beyond_git(path);
        remarks.push(format!(
            "{with} in which some image copies what git ignores; it is left out there: {name}: {why}"
        ));
    }
    remarks
}
