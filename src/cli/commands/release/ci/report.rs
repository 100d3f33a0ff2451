//! The reports of `imk ci`: a line for people, JUnit and JSON for programs, and the summary of a job's page.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use serde::Serialize;

use crate::build::run::Ending;
use crate::cli::args::Global;
use crate::cli::ci::{self, Ci};
use crate::cli::commands::containers::test::{junit, report};
use crate::cli::failure::{Exit, Failure, cannot};
use crate::cli::words::quantity;
use crate::cli::words::release::count;
use crate::cli::{locate, words};
use crate::containers::suite::perform::Verdict;
use crate::containers::suite::queue::Job;
use crate::release::publish::Released;
use crate::source::outside;

/// How publishing came out.
#[derive(Default)]
pub(super) enum Published {
    /// It was not come to.
    #[default]
    NotReached,
    /// Nothing was, and why not.
    No(String),
    /// All that may be.
    Yes(Released),
}

/// A run of the pipeline as it came out.
#[derive(Default)]
pub(super) struct Report {
    /// The images as they ended, and how long each took.
    pub images: Vec<(String, Ending, Duration)>,
    /// Why images were out of date, by their names.
    pub reasons: BTreeMap<String, String>,
    /// The tests.
    pub tests: Vec<(Job, Verdict)>,
    /// The publication.
    pub published: Published,
    /// The commit that is checked out.
    pub commit: Option<String>,
    /// The variable that says that a pull request is built.
    pub pull_request: Option<&'static str>,
    /// The end, where it is none that was wished for.
    pub failure: Option<Failure>,
}

/// The report for programs.
#[derive(Serialize)]
struct Document<'a> {
    /// `passed`, `failed` or `interrupted`.
    result: &'static str,
    imk: &'static str,
    commit: Option<&'a str>,
    ci: Option<&'static str>,
    pull_request: bool,
    images: Vec<Image<'a>>,
    tests: Vec<report::Told>,
    publish: Publish<'a>,
    errors: Vec<&'a str>,
    took_ms: u64,
}

#[derive(Serialize)]
struct Image<'a> {
    image: &'a str,
    verdict: &'static str,
    took_ms: u64,
    message: Option<String>,
    /// Why it was out of date; `null` for what was not.
    reason: Option<&'a str>,
}

#[derive(Serialize)]
struct Publish<'a> {
    /// `null` where every tag stood right already, or nothing was published.
    release: Option<&'a str>,
    tags: Vec<&'a str>,
    why_not: Option<&'a str>,
}

impl Report {
    /// Writes the files that were asked for, and the summary of the job's page.
    pub(super) fn write(
        &self,
        global: &Global,
        junit: Option<&Path>,
        report: Option<&Path>,
        took: Duration,
    ) -> Result<(), Failure> {
        if let Some(file) = std::env::var_os("GITHUB_STEP_SUMMARY").filter(|file| !file.is_empty()) {
            // A summary that cannot be written is no reason to fail a job.
            let _ = outside::append(Path::new(&file), self.summary().as_bytes());
        }
        let write = |file: &Path, text: String| {
            let file = locate::place(global, file);
            if let Some(folder) = file.parent() {
                outside::make_folder(folder).map_err(cannot("make the report's folder"))?;
            }
            outside::write(&file, text.as_bytes()).map_err(cannot("write the report"))
        };
        if let Some(file) = junit {
            write(file, junit::whole(&self.builds(), &self.tests))?;
        }
        if let Some(file) = report {
            let document = self.document(took);
            write(file, serde_json::to_string_pretty(&document).unwrap_or_default() + "\n")?;
        }
        Ok(())
    }

    /// `3 built, 5 tests passed, published 3 images as 20261126T…, in 4s`.
    pub(super) fn line(&self, took: Duration) -> String {
        let built =
            self.images.iter().filter(|(_, ending, _)| matches!(ending, Ending::Built { .. })).count();
        let good = self.tests.iter().filter(|(_, verdict)| verdict.is_good()).count();
        let published = match &self.published {
            Published::NotReached | Published::No(_) => "nothing published".to_owned(),
            Published::Yes(Released { release: None, .. }) => "every tag stood right".to_owned(),
            Published::Yes(Released { release: Some(release), moves }) => {
                format!("{} moved by release {}", count(moves.len(), "tag"), release.id)
            }
        };
        format!(
            "{}: {built} built, {good} of {} passed, {published}, in {}",
            self.result(),
            count(self.tests.len(), "test"),
            quantity::duration(took)
        )
    }

    fn result(&self) -> &'static str {
        match self.failure.as_ref().map(|failure| failure.exit) {
            None => "passed",
            Some(Exit::Interrupted) => "interrupted",
            Some(_) => "failed",
        }
    }

    fn builds(&self) -> Vec<junit::Build> {
        let build = |(image, ending, took): &(String, Ending, Duration)| junit::Build {
            image: image.clone(),
            took: *took,
            failure: message(ending),
            is_skipped: *ending == Ending::Skipped,
        };
        self.images.iter().map(build).collect()
    }

    fn document(&self, took: Duration) -> Document<'_> {
        let ms = |took: &Duration| u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
        let (release, tags, why_not) = match &self.published {
            Published::NotReached => (None, Vec::new(), Some("it was not come to")),
            Published::No(why) => (None, Vec::new(), Some(why.as_str())),
            Published::Yes(released) => (
                released.release.as_ref().map(|release| release.id.as_str()),
                released.moves.iter().map(|step| step.tag.as_str()).collect(),
                None,
            ),
        };
        let findings = self.failure.iter().flat_map(|failure| &failure.findings);
        Document {
            result: self.result(),
            imk: env!("CARGO_PKG_VERSION"),
            commit: self.commit.as_deref(),
            ci: Ci::here().map(Ci::name),
            pull_request: self.pull_request.is_some(),
            images: self
                .images
                .iter()
                .map(|(image, ending, took)| Image {
                    image,
                    verdict: verdict(ending),
                    took_ms: ms(took),
                    message: message(ending),
                    reason: self.reasons.get(image).map(String::as_str),
                })
                .collect(),
            tests: self.tests.iter().map(|(job, verdict)| report::told(job, verdict)).collect(),
            publish: Publish { release, tags, why_not },
            errors: findings.map(|finding| finding.message.as_str()).collect(),
            took_ms: ms(&took),
        }
    }

    /// Tests and publication in Markdown: the build has had its table.
    fn summary(&self) -> String {
        let rows = self.tests.iter().map(|(job, verdict)| {
            let told = match verdict {
                Verdict::Passed { took, .. } => ("passed", quantity::duration(*took)),
                Verdict::Receipt(_) => ("passed before", String::new()),
                Verdict::Failed { took, .. } => ("**failed**", quantity::duration(*took)),
                Verdict::Skipped(_) => ("skipped", String::new()),
            };
            [job.image.clone(), job.test.clone(), told.0.to_owned(), told.1]
        });
        let mut text = String::new();
        if !self.tests.is_empty() {
            text += &ci::table(["image", "test", "verdict", "duration"], rows);
            text += "\n";
        }
        match &self.published {
            Published::NotReached => {}
            Published::No(why) => text += &format!("Nothing was published: {}\n", ci::cell(why)),
            Published::Yes(released) => {
                let rows = released.moves.iter().map(|step| [step.tag.clone(), step.after.clone()]);
                let id = released.release.as_ref().map(|release| release.id.as_str());
                match id {
                    None => text += "Every tag stood for its result already.\n",
                    Some(id) => {
                        text += &ci::table(["tag", "digest"], rows);
                        text += &format!("\nRelease {id}\n");
                    }
                }
            }
        }
        text
    }
}

fn verdict(ending: &Ending) -> &'static str {
    match ending {
        Ending::Fresh => "fresh",
        Ending::Built { .. } => "built",
        Ending::Reused => "reused",
        Ending::AlreadyPublished => "found",
        Ending::Failed(_) => "failed",
        Ending::Skipped => "skipped",
    }
}

fn message(ending: &Ending) -> Option<String> {
    match ending {
        Ending::Failed(error) => Some(words::build_error(error)),
        _ => None,
    }
}
