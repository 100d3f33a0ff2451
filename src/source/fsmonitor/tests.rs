//! A monitor in a thread, and who asks it.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::thread::JoinHandle;
use std::time::{SystemTime, UNIX_EPOCH};

use fs_err as fs;

use super::socket::Place;
use super::{Monitor, Serving, StartError, request_stop, status};

/// A monitor that lives as long as this.
pub(in super::super) struct Running {
    runtime: tempfile::TempDir,
    place: Place,
    thread: Option<JoinHandle<()>>,
}

impl Running {
    /// Starts one; `None`, with a word, where the file system does not tell its changes.
    pub fn at(root: &Path) -> Option<Self> {
        Self::with_clock_ahead(root, &Arc::default())
    }

    /// Its clock is so many seconds ahead of the system's.
    fn with_clock_ahead(root: &Path, ahead_s: &Arc<AtomicI64>) -> Option<Self> {
        let ahead_s = Arc::clone(ahead_s);
        let clock = move || {
            let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_nanos();
            now as i128 + i128::from(ahead_s.load(Ordering::SeqCst)) * 1_000_000_000
        };
        let runtime = tempfile::tempdir().unwrap();
        let place = Place::of(root, Some(runtime.path().to_owned())).unwrap();
        let serving = match Serving::start_with(root, &place, Box::new(clock)) {
            Ok(serving) => serving,
            Err(StartError::Untold) => {
                eprintln!("SKIPPED: {} is on a file system that does not tell its changes", root.display());
                return None;
            }
            Err(error) => panic!("{error:?}"),
        };
        let thread = Some(std::thread::spawn(move || serving.serve().unwrap()));
        Some(Self { runtime, place, thread })
    }

    pub fn monitor(&self, root: &Path) -> Option<Arc<Monitor>> {
        Monitor::find(root, &self.place).map(Arc::new)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = request_stop(&self.place);
        let _ = self.thread.take().map(JoinHandle::join);
        let _ = self.runtime.path();
    }
}

/// The folders that changed since the last question.
fn changed(monitor: &Monitor, token: &mut super::Token) -> Option<Vec<String>> {
    let told = monitor.ask(Some(*token)).unwrap();
    *token = told.token;
    told.changed.map(|changed| changed.into_iter().collect())
}

#[test]
fn the_folders_that_changed_are_told_and_no_others() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    fs::create_dir_all(root.join("a/b")).unwrap();
    fs::create_dir_all(root.join("c")).unwrap();
    fs::write(root.join("a/b/file"), "1").unwrap();
    let Some(running) = Running::at(root) else { return };
    let monitor = running.monitor(root).unwrap();
    // A file that is younger than the kernel's clock is fine is looked at when it was opened.
    std::thread::sleep(std::time::Duration::from_millis(200));
    let mut token = monitor.ask(None).unwrap().token;
    let refused = monitor.watch(token, vec!["a/b".into(), "c".into(), "absent".into()]).unwrap();
    assert_eq!(refused.into_iter().collect::<Vec<_>>(), ["absent"]);
    assert_eq!(changed(&monitor, &mut token).unwrap(), [""; 0]);
    fs::read(root.join("a/b/file")).unwrap();
    fs::write(root.join("a/unwatched"), "1").unwrap();
    assert_eq!(changed(&monitor, &mut token).unwrap(), [""; 0]);
    fs::write(root.join("a/b/file"), "2").unwrap();
    assert_eq!(changed(&monitor, &mut token).unwrap(), ["a/b"]);
    fs::rename(root.join("a"), root.join("moved")).unwrap();
    assert_eq!(changed(&monitor, &mut token).unwrap(), ["a/b"]);
    fs::write(root.join("moved/b/file"), "3").unwrap();
    fs::write(root.join("c/new"), "1").unwrap();
    assert_eq!(changed(&monitor, &mut token).unwrap(), ["c"]);
    let told = status(&running.place).unwrap().unwrap();
    assert_eq!((told.folders, told.files), (2, 1), "the root and c are left, and c/new");
}

#[test]
fn a_write_through_a_name_elsewhere_or_through_a_mapping_is_seen() {
    let folder = tempfile::tempdir().unwrap();
    let (root, elsewhere) = (folder.path().join("root"), folder.path().join("elsewhere"));
    fs::create_dir_all(root.join("a")).unwrap();
    fs::write(root.join("a/file"), "1").unwrap();
    let Some(running) = Running::at(&root) else { return };
    let monitor = running.monitor(&root).unwrap();
    let mut token = monitor.ask(None).unwrap().token;
    assert!(monitor.watch(token, vec!["a".into()]).unwrap().is_empty());
    fs::hard_link(root.join("a/file"), &elsewhere).unwrap();
    assert_eq!(changed(&monitor, &mut token).unwrap(), ["a"]);
    std::thread::sleep(std::time::Duration::from_millis(300));
    let mut settled = changed(&monitor, &mut token);
    for _ in 0..20 {
        if settled == Some(Vec::new()) {
            break;
        }
        std::thread::sleep(std::time::Duration::from_millis(100));
        settled = changed(&monitor, &mut token);
    }
    assert_eq!(settled, Some(Vec::new()), "a link is looked at, and is no change for ever");
    fs::write(&elsewhere, "2").unwrap();
    assert_eq!(changed(&monitor, &mut token).unwrap(), ["a"]);
}

#[test]
fn looking_into_thousands_of_folders_is_not_more_news_than_the_system_keeps() {
    let most = fs::read_to_string("/proc/sys/fs/inotify/max_queued_events").unwrap();
    let count: usize = most.trim().parse().unwrap();
    let count = (count / 2).clamp(1000, 10_000);
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    let folders: Vec<String> = (0..count).map(|number| format!("{}/{number}", number % 50)).collect();
    folders.iter().for_each(|path| fs::create_dir_all(root.join(path)).unwrap());
    let Some(running) = Running::at(root) else { return };
    let monitor = running.monitor(root).unwrap();
    let mut token = monitor.ask(None).unwrap().token;
    let refused = monitor.watch(token, folders.clone()).unwrap();
    if !refused.is_empty() {
        eprintln!("SKIPPED: the system lets nobody watch {count} folders");
        return;
    }
    assert_eq!(changed(&monitor, &mut token), Some(Vec::new()), "and the token still counts");
    fs::write(root.join(&folders[7]).join("new"), "1").unwrap();
    assert_eq!(changed(&monitor, &mut token), Some(vec![folders[7].clone()]));
}

#[test]
fn another_tree_another_version_and_a_second_monitor_get_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let other = tempfile::tempdir().unwrap();
    let Some(running) = Running::at(folder.path()) else { return };
    let stranger = Monitor::find(other.path(), &running.place).unwrap();
    assert_eq!(stranger.ask(None), None);
    assert!(matches!(Serving::start(folder.path(), &running.place), Err(StartError::Running)));
    assert!(running.monitor(folder.path()).unwrap().ask(None).is_some(), "and the first goes on");
}

#[test]
fn a_token_of_an_earlier_monitor_is_worth_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let Some(first) = Running::at(folder.path()) else { return };
    let token = first.monitor(folder.path()).unwrap().ask(None).unwrap().token;
    drop(first);
    let Some(second) = Running::at(folder.path()) else { return };
    assert_eq!(second.monitor(folder.path()).unwrap().ask(Some(token)).unwrap().changed, None);
}

#[test]
fn a_folder_that_others_may_enter_holds_no_socket() {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::tempdir().unwrap();
    let Some(running) = Running::at(folder.path()) else { return };
    assert!(running.monitor(folder.path()).is_some());
    let private = running.runtime.path().join("imk");
    fs::set_permissions(&private, std::fs::Permissions::from_mode(0o711)).unwrap();
    assert!(running.monitor(folder.path()).is_none());
    fs::set_permissions(&private, std::fs::Permissions::from_mode(0o700)).unwrap();
}

#[test]
fn a_clock_that_was_set_in_either_direction_makes_every_token_worthless() {
    let folder = tempfile::tempdir().unwrap();
    let ahead_s = Arc::new(AtomicI64::new(0));
    let Some(running) = Running::with_clock_ahead(folder.path(), &ahead_s) else { return };
    let monitor = running.monitor(folder.path()).unwrap();
    let mut token = monitor.ask(None).unwrap().token;
    for (ahead, what) in [(3_600, "forward"), (-3_600, "back"), (-3_601, "back by a second")] {
        ahead_s.store(ahead, Ordering::SeqCst);
        assert_eq!(changed(&monitor, &mut token), None, "{what}");
        assert_eq!(changed(&monitor, &mut token), Some(Vec::new()), "and then it goes on");
    }
    let told = status(&running.place).unwrap().unwrap();
    assert_eq!((told.resets, told.reset.unwrap().contains("clock")), (3, true));
}
