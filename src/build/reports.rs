//! Reports of jobs that come while their queries run, kept until each job ends.
//!
//! Knows no schedule and makes no words.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use crate::build::jobserver::Turn;
use crate::build::options::BuildOptions;
use crate::build::summary::{Ending, Event};
use crate::engine::Cancel;
use crate::exec::executor::JobEvent;
use crate::model::reason::Reason;

/// The reports of a run's jobs, by image.
#[derive(Clone, Default)]
pub(super) struct Reports(Arc<Mutex<BTreeMap<String, JobReport>>>);

/// The reports of a job while its query ran; nothing of one that was remembered.
#[derive(Default)]
struct JobReport {
    built: Option<Vec<Reason>>,
    same: bool,
    reused: bool,
    found: bool,
    /// When its build began, and the turn it began with.
    began: Option<Instant>,
    turn: Option<Turn>,
}

impl Reports {
    /// Hears what the executor reports, notes what an ending is made of, and hands all of it on. A build waits here
    /// for its turn.
    pub(super) fn listener(
        &self,
        options: &BuildOptions,
        cancel: Cancel,
        report_event: Arc<dyn Fn(Event) + Send + Sync>,
    ) -> impl Fn(&str, JobEvent) + Send + Sync + 'static {
        let reports = self.clone();
        let (jobserver, room) = (options.jobserver.clone(), options.room.clone());
        move |name: &str, event: JobEvent| {
            match &event {
                JobEvent::Build(_)
                | JobEvent::On(_)
                | JobEvent::Emulated { .. }
                | JobEvent::EngineUnreachable { .. }
                | JobEvent::Publishing
                | JobEvent::Yielded => {}
                JobEvent::AlreadyPublished => reports.note(name, |report| report.found = true),
                JobEvent::Started(reasons) => {
                    // The build begins when this returns. One that was cancelled meanwhile ends at once.
                    let turn = jobserver.as_ref().and_then(|jobserver| jobserver.turn(&cancel));
                    let begin = || {
                        reports.note(name, |report| {
                            report.built = Some(reasons.clone());
                            (report.turn, report.began) = (turn, Some(Instant::now()));
                        });
                    };
                    match &room {
                        Some(room) => room.enter(|| reports.running().len(), &cancel, begin),
                        None => begin(),
                    }
                }
                JobEvent::SameResult => reports.note(name, |report| report.same = true),
                JobEvent::Reused(_) => reports.note(name, |report| report.reused = true),
            }
            report_event(Event::Job(name.to_owned(), event));
        }
    }

    fn note(&self, name: &str, note: impl FnOnce(&mut JobReport)) {
        note(self.0.lock().entry(name.to_owned()).or_default());
    }

    /// When a job's build began, and the turn it began with, which is given back when that is dropped.
    pub(super) fn take_turn(&self, name: &str) -> (Option<Turn>, Option<Instant>) {
        match self.0.lock().get_mut(name) {
            Some(report) => (report.turn.take(), report.began),
            None => (None, None),
        }
    }

    /// The images that are being built, and for how long.
    pub(super) fn running(&self) -> BTreeMap<String, Duration> {
        let reports = self.0.lock();
        let began = |(name, report): (&String, &JobReport)| Some((name.clone(), report.began?.elapsed()));
        reports.iter().filter_map(began).collect()
    }

    /// Whether an engine built the result just now.
    pub(super) fn is_built(&self, name: &str) -> bool {
        self.0.lock().get(name).is_some_and(|report| report.built.is_some())
    }

    /// How a job ended that has a result; its reports are done with.
    pub(super) fn take_ending(&self, name: &str) -> Ending {
        let report = self.0.lock().remove(name).unwrap_or_default();
        match report.built {
            Some(reasons) => Ending::Built { reasons, same: report.same },
            None if report.found => Ending::AlreadyPublished,
            None if report.reused => Ending::Reused,
            None => Ending::Fresh,
        }
    }
}
