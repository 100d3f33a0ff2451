//! One build from its request to its image: stage by stage, instruction by instruction.
//!
//! A stage is its configuration and its layers. Which file of a stage is where is asked of the layers'
//! headers, and only when an instruction wants to know.

use std::collections::BTreeMap;
use std::sync::atomic::AtomicU64;
use std::time::Instant;

use super::context::Context;
use super::patch::Making;
use super::plan::{Plan, base};
use super::stages::Stages;
use crate::embedded::config::Config;
use crate::embedded::images::Images;
use crate::embedded::layer::view::{Origin, View};
use crate::embedded::layer::writer::TIME;
use crate::embedded::run::Runner;
use crate::embedded::steps::RemoteSteps;
use crate::embedded::trouble::{Result, refusal};
use crate::engine::{BuildEvent, BuildFailure, BuildRequest, Cancel, EngineError};
use crate::syntax::dockerfile::Instruction;
use crate::syntax::expand::Expansion;
use crate::syntax::resolve::names::Source;
use crate::syntax::resolve::scope::Scope;

/// A stage on its way.
pub struct Stage {
    /// Its configuration, and its layers.
    pub config: Config,
    /// Its variables.
    pub scope: Scope,
    /// For which platform.
    pub platform: String,
    view: Option<View>,
}

impl Stage {
    /// One that begins with nothing.
    pub fn nothing(platform: &str) -> Self {
        Self {
            config: Config::scratch(platform),
            scope: Scope::of_base(Some(&BTreeMap::new())),
            platform: platform.to_owned(),
            view: Some(View::default()),
        }
    }
}

/// One build under way.
pub struct Build<'a> {
    /// The request.
    pub request: &'a BuildRequest,
    /// Where images are.
    pub images: &'a Images<'a>,
    /// The runner of commands.
    pub runner: &'a Runner<'a>,
    /// The Dockerfile.
    pub plan: Plan,
    /// The files that were sent.
    pub context: Context,
    /// The platform of the image.
    pub platform: String,
    /// Seconds since 1970 that files and image bear.
    pub time: u64,
    /// Told what happens.
    pub events: &'a (dyn Fn(BuildEvent) + Sync),
    /// Set to stop, and by the first stage that fails.
    pub cancel: &'a Cancel,
    /// Stages that are done.
    pub stages: Stages<Stage>,
    /// Steps of other machines.
    pub steps: RemoteSteps,
    /// Sockets of ssh agents by id, for commands that ask for one.
    pub agents: BTreeMap<String, std::path::PathBuf>,
    /// Counts the sources of instructions.
    pub sources: AtomicU64,
}

/// Where an instruction stands: which step of how many.
struct StepPosition<'t> {
    /// The stage's number.
    index: usize,
    stage: &'t str,
    number: u32,
    total: u32,
    /// The text its spans are about.
    text: &'t str,
}

/// How an instruction ended.
#[derive(Clone, Debug, Default)]
pub struct Outcome {
    /// The layer that it gave.
    pub layer: Option<String>,
    /// Nothing had to be done for it.
    pub cached: bool,
}

impl Outcome {
    /// Of an instruction that only says something of the image.
    pub const NOTHING: Self = Self { layer: None, cached: true };
}

impl<'a> Build<'a> {
    /// Prepares a build.
    pub fn new(
        request: &'a BuildRequest,
        images: &'a Images<'a>,
        runner: &'a Runner<'a>,
        native: &str,
        events: &'a (dyn Fn(BuildEvent) + Sync),
        cancel: &'a Cancel,
    ) -> Result<Self> {
        let platform = request.platform.clone().unwrap_or_else(|| native.to_owned());
        let time = match request.args.get("SOURCE_DATE_EPOCH").filter(|text| !text.is_empty()) {
            None => TIME,
            Some(text) => text.parse().map_err(|_| {
                refusal(
                    format!("building `{}`", request.image),
                    format!("SOURCE_DATE_EPOCH is `{text}`, and not a number of seconds"),
                )
            })?,
        };
        Ok(Self {
            request,
            images,
            runner,
            plan: Plan::of(request, &platform, native, images)?,
            context: Context::new(std::sync::Arc::clone(&request.files))?,
            platform,
            time,
            events,
            cancel,
            stages: Stages::default(),
            steps: RemoteSteps::of(&request.image, &request.cache)?,
            agents: BTreeMap::new(),
            sources: AtomicU64::new(0),
        })
    }

    /// Builds all that is needed; answers with the image's id.
    pub fn run(&self) -> Result<String> {
        let reached = &self.plan.reached;
        self.stages.make(self.plan.needs(), self.cancel, &|index| {
            self.stage(index, reached.get(&index).map_or(&[], Vec::as_slice))
        })?;
        let mut config = self.stages.get(self.plan.target.index)?.lock().config.clone();
        for (name, value) in &self.request.labels {
            config.set_label(name, value);
        }
        let created = i64::try_from(self.time).ok().and_then(|time| jiff::Timestamp::from_second(time).ok());
        let created = created.unwrap_or_default().to_string();
        self.images.keep(&config.to_bytes(&created))
    }

    fn stage(&self, index: usize, triggers: &[Instruction]) -> Result<Stage> {
        let (stage, head) = (&self.plan.file.stages[index], &self.plan.heads.stages[index]);
        let mut here = self.begin(index)?;
        let name = stage.name.as_ref().map_or_else(|| format!("stage-{index}"), |name| name.text.clone());
        let name =
            if self.plan.file.stages.len() == 1 && stage.name.is_none() { String::new() } else { name };
        let total = u32::try_from(triggers.len() + stage.instructions.len() + 1).unwrap_or(u32::MAX);
        let mut place =
            StepPosition { index, stage: &name, number: 1, total, text: &self.request.dockerfile };
        let from = match &head.source {
            Source::Scratch => "scratch",
            Source::Stage(_) => stage.base.text.as_str(),
            Source::Image(name) | Source::Context(name) => name,
        };
        self.tell(&place, &format!("FROM {from}"), |_| Ok(Outcome::NOTHING))?;
        let texts = here.config.begin();
        for (at, trigger) in triggers.iter().enumerate() {
            place.number += 1;
            place.text = texts.get(at).map_or("", String::as_str);
            self.step(&place, trigger, &mut here)?;
        }
        place.text = &self.request.dockerfile;
        for instruction in &stage.instructions {
            place.number += 1;
            self.step(&place, instruction, &mut here)?;
        }
        Ok(here)
    }

    /// The beginning of a stage.
    fn begin(&self, index: usize) -> Result<Stage> {
        let head = &self.plan.heads.stages[index];
        let platform = head.platform.clone().unwrap_or_else(|| self.platform.clone());
        match &head.source {
            Source::Stage(base) => {
                let base = self.stages.get(*base)?;
                let mut base = base.lock();
                let (config, scope) = (base.config.clone(), base.scope.child());
                Ok(Stage { config, scope, platform: base.platform.clone(), view: base.view.clone() })
            }
            Source::Scratch => Ok(Stage::nothing(&platform)),
            Source::Context(name) => {
                let mut stage = Stage::nothing(&platform);
                for layer in self.context_layers(name)? {
                    stage.config.record(&format!("the files of {name}"), Some(&layer));
                }
                Ok(Stage { view: None, ..stage })
            }
            Source::Image(name) => {
                let config = self.plan.bases.get(&(name.clone(), platform.clone())).cloned();
                let config = config.ok_or_else(|| {
                    refusal(format!("beginning with `{name}`"), "its configuration was not looked up")
                })?;
                let pairs = config.list("Env");
                let pairs = pairs.iter().filter_map(|pair| pair.split_once('='));
                let environment = pairs.map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
                let scope = Scope::of_base(Some(&environment));
                Ok(Stage { config, scope, platform, view: None })
            }
        }
    }

    /// The files of an image that is no stage.
    pub fn image(&self, name: &str) -> Result<View> {
        let config = base(self.images, name, &self.platform)?;
        self.images.layers.view(&config.diff_ids)
    }

    fn step(&self, place: &StepPosition<'_>, instruction: &Instruction, here: &mut Stage) -> Result<()> {
        if self.cancel.is_cancelled() {
            return Err(EngineError::Interrupted);
        }
        let text = place.text.get(instruction.span.start..instruction.span.end).unwrap_or_default();
        let shown = one_line(text);
        self.tell(place, &shown, |id| {
            let outcome = self.instruction(instruction, here, id)?;
            here.config.record(&shown, outcome.layer.as_deref());
            if let (Some(view), Some(diff_id)) = (&mut here.view, &outcome.layer) {
                let index = self.images.layers.index(diff_id)?;
                view.push(Origin::Layer(diff_id.clone()), index);
            }
            Ok(outcome)
        })
    }

    /// Tells of a step that begins, and how it ends.
    fn tell(
        &self,
        place: &StepPosition<'_>,
        text: &str,
        work: impl FnOnce(&str) -> Result<Outcome>,
    ) -> Result<()> {
        let StepPosition { index, stage, number, total, .. } = *place;
        let gap = if stage.is_empty() { "" } else { " " };
        let name = format!("[{stage}{gap}{number}/{total}] {text}");
        // Stages may share a name, and are told side by side.
        let id = format!("{index}-{number}");
        (self.events)(BuildEvent::Step {
            id: id.clone(),
            name: name.clone(),
            number: Some(number),
            total: Some(total),
        });
        let started = Instant::now();
        let done = work(&id);
        let cached = done.as_ref().is_ok_and(|outcome| outcome.cached);
        let error = done.as_ref().err().map(EngineError::to_string);
        (self.events)(BuildEvent::StepDone { id, cached, error, took: Some(started.elapsed()) });
        match done {
            Ok(_) => Ok(()),
            // Which step it was is half of the answer.
            Err(EngineError::Refused { what, why }) => {
                let message = format!("{what}: {why}");
                Err(EngineError::Failed(BuildFailure { step: name, message, exit_code: None, lines: None }))
            }
            Err(EngineError::Failed(failure)) if failure.step.is_empty() => {
                Err(EngineError::Failed(BuildFailure { step: name, ..failure }))
            }
            Err(error) => Err(error),
        }
    }

    /// The files of a stage, looked up when somebody asks.
    pub fn view<'s>(&self, stage: &'s mut Stage) -> Result<&'s View> {
        if stage.view.is_none() {
            stage.view = Some(self.images.layers.view(&stage.config.diff_ids)?);
        }
        stage.view.as_ref().ok_or_else(|| refusal("looking into a stage", "it has no files"))
    }

    /// The means of writing a layer.
    pub fn making<'m>(&'m self, stop: &'m dyn Fn() -> bool) -> Making<'m> {
        Making {
            layers: self.images.layers,
            context: &self.context,
            time: self.time,
            anew: self.request.no_cache,
            stop,
        }
    }

    /// A word with its variables replaced.
    pub fn expand(&self, text: &str, here: &Stage) -> Result<Expansion> {
        let expanded = self.plan.globals.lexer.expand(text, &here.scope);
        expanded.map_err(|why| refusal(format!("reading `{text}`"), why))
    }
}

/// A text of several lines as one, for a person.
fn one_line(text: &str) -> String {
    let joined: Vec<&str> = text
        .lines()
        .map(|line| line.trim_end().trim_end_matches(['\\', '`']).trim())
        .filter(|line| !line.is_empty() && !line.starts_with('#'))
        .collect();
    joined.join(" ")
}
