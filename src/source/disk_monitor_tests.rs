//! A tree with a monitor agrees with one that looks at every file, whatever happens between.

use std::io::{Seek, SeekFrom, Write};

use super::*;
use crate::source::fsmonitor::tests::Running;

impl Repo {
    /// The answers of an imk that asks the monitor; all of them, and whether it had to read its cache.
    fn watched(
        &self,
        running: &Running,
        selections: &[Selection],
    ) -> (Vec<Result<Selected, ReadError>>, bool) {
        let state = StateFolder::at(&self.path(".imk"));
        let monitor = running.monitor(self.dir.path());
        let tree = DiskTree::open_watched(self.dir.path(), &state, monitor).unwrap();
        let answers = tree.select(selections);
        tree.save().unwrap();
        (answers, std::sync::LazyLock::get(&tree.known).is_some())
    }
}

#[test]
fn with_a_monitor_nothing_is_read_until_something_changes() {
    let repo = Repo::new(&[("a/x", "1"), ("a/b/y", "2"), ("c/z", "3")]);
    let selections = [reads("a", &[""]), reads("c", &[""])];
    let Some(running) = Running::at(repo.dir.path()) else { return };
    let before = repo.fresh(&selections);
    let looked: Vec<bool> = (0..4)
        .map(|_| {
            let (answers, looked) = repo.watched(&running, &selections);
            assert_eq!(answers, before);
            looked
        })
        .collect();
    assert_eq!(
        looked,
        [true, true, false, false],
        "the first finds the folders, the second has them watched"
    );
    repo.write("a/b/y", "4");
    assert_eq!(repo.watched(&running, &selections).0, repo.fresh(&selections));
    // A file as young as the kernel's clock is coarse is looked at once more.
    let settles = (0..100).any(|_| {
        std::thread::sleep(Duration::from_millis(20));
        !repo.watched(&running, &selections).1
    });
    assert!(settles);
    // An imk that knows nothing of the monitor may write the cache meanwhile.
    repo.write("c/z", "5");
    repo.cached(&selections);
    assert_eq!(repo.watched(&running, &selections).0, repo.fresh(&selections));
}

/// An edit that a monitor might miss: through another name, by an open handle, of times and folders.
fn sly_edit(repo: &Repo, outside: &Path, handles: &mut Vec<std::fs::File>, dice: &mut Dice) {
    let root = repo.dir.path().canonicalize().unwrap();
    let path = repo.path(NAMES[dice.roll(NAMES.len())]);
    let Some(path) = path
        .parent()
        .and_then(|parent| parent.canonicalize().ok())
        .filter(|it| it.starts_with(&root))
        .map(|parent| parent.join(path.file_name().unwrap()))
    else {
        return;
    };
    let elsewhere = outside.join(dice.roll(4).to_string());
    let is_file = path.is_file() && !path.is_symlink();
    let _ = match dice.roll(10) {
        0 if is_file => fs::hard_link(&path, &elsewhere),
        1 => fs::write(&elsewhere, format!("{:02}", dice.roll(100))),
        2 if !path.exists() && !path.is_symlink() => fs::hard_link(&elsewhere, &path),
        3 if is_file => fs::File::options()
            .read(true)
            .write(true)
            .open(&path)
            .map(|file| handles.push(file.into_parts().0)),
        4 | 5 if !handles.is_empty() => {
            let number = dice.roll(handles.len());
            let file = &mut handles[number];
            file.seek(SeekFrom::Start(0)).and_then(|_| write!(file, "{:02}", dice.roll(100)))
        }
        6 if !handles.is_empty() => {
            drop(handles.swap_remove(dice.roll(handles.len())));
            Ok(())
        }
        7 if is_file => fs::File::options().write(true).open(&path).and_then(|file| {
            file.set_modified(SystemTime::UNIX_EPOCH + Duration::from_secs(dice.roll(1000) as u64))
        }),
        8 => fs::rename(&path, &elsewhere),
        9 if !path.is_symlink() => fs::rename(&elsewhere, &path),
        _ => Ok(()),
    };
}

#[test]
fn the_monitor_never_changes_an_answer() {
    let seed = std::env::var("IMK_TEST_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(7);
    let rounds = std::env::var("IMK_TEST_ROUNDS").ok().and_then(|rounds| rounds.parse().ok()).unwrap_or(12);
    let mut dice = Dice(seed);
    for round in 0..rounds {
        let repo = Repo::new(&[("a", "01"), ("d/e", "02"), ("d/g/h", "03")]);
        let outside = tempfile::tempdir().unwrap();
        let mut handles = Vec::new();
        let selections = [
            reads("", &["a", "d"]),
            reads("", &["d/*/h", "x"]),
            reads("d", &["g"]),
            Selection { ignore: Some("d\n!d/g/h\n".into()), ..reads("", &[""]) },
        ];
        let Some(mut running) = Running::at(repo.dir.path()) else { return };
        for step in 0..80 {
            // Many small pauses between the edits of a person: most questions find nothing new.
            for _ in 0..dice.roll(3) {
                match dice.roll(2) {
                    0 => random_edit(&repo, &mut dice),
                    _ => sly_edit(&repo, outside.path(), &mut handles, &mut dice),
                }
            }
            if dice.roll(40) == 0 {
                drop(running);
                random_edit(&repo, &mut dice);
                running = Running::at(repo.dir.path()).unwrap();
            }
            let some = dice.roll(selections.len());
            let asked = if dice.roll(3) == 0 { &selections[some..=some] } else { &selections[..] };
            match dice.roll(12) {
                0 => drop(repo.cached(asked)),
                1 => assert_eq!(
                    repo.ahead(asked, || {}),
                    repo.fresh(asked),
                    "seed {seed}, round {round}, step {step}"
                ),
                _ => assert_eq!(
                    repo.watched(&running, asked).0,
                    repo.fresh(asked),
                    "seed {seed}, round {round}, step {step}"
                ),
            }
        }
    }
}
