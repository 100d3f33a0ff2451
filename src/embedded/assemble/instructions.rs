//! Instructions: the effect of each on its stage.
//!
//! Follows BuildKit's `dispatch…` functions. Those that only describe an image end here; `COPY` and `ADD`
//! are in `transfer.rs`, `RUN` in `run.rs`.

use super::build::{Build, Outcome, Stage};
use super::patch::{Patch, absolute};
use super::users::Users;
use crate::embedded::layer::index::name;
use crate::embedded::trouble::{Result, refused};
use crate::syntax::dockerfile::{Argument, Body, Instruction, Pair, Word};

impl Build<'_> {
    /// Carries one instruction out. `id` names its step to whoever listens.
    pub(super) fn instruction(
        &self,
        instruction: &Instruction,
        here: &mut Stage,
        id: &str,
    ) -> Result<Outcome> {
        match &instruction.body {
            Body::Copy(copy) => return self.transfer(copy, false, here),
            Body::Add(add) => return self.transfer(add, true, here),
            Body::Run(run) => return self.command(run, here, id),
            Body::Workdir(word) => return self.workdir(word, here),
            Body::Arg(arguments) => {
                for argument in arguments {
                    self.argument(argument, here)?;
                }
            }
            Body::Env(pairs) => {
                // All values are expanded before any of them is set.
                for (key, value) in self.pairs(pairs, here)? {
                    here.config.set_env(&key, &value);
                    here.scope.set_env(&key, value);
                }
            }
            Body::Label(pairs) => {
                for (key, value) in self.pairs(pairs, here)? {
                    here.config.set_label(&key, &value);
                }
            }
            Body::Expose(words) => {
                for word in words {
                    for port in self.expand(&word.text, here)?.words {
                        here.config.expose(&port)?;
                    }
                }
            }
            Body::Volume(words) => {
                for word in words {
                    let path = self.expand(&word.text, here)?.text;
                    if path.is_empty() {
                        return refused("reading VOLUME", "a volume has no name");
                    }
                    here.config.add_volume(&path);
                }
            }
            Body::Cmd(command) => here.config.set_command(command),
            Body::Entrypoint(command) => here.config.set_entrypoint(command),
            Body::Shell(words) => here.config.set("Shell", words.clone()),
            Body::Healthcheck(check) => here.config.set_healthcheck(check),
            Body::User(word) => {
                let user = self.expand(&word.text, here)?.text;
                here.config.set("User", user);
            }
            Body::StopSignal(word) => {
                let signal = self.expand(&word.text, here)?.text;
                here.config.set("StopSignal", signal);
            }
            Body::Maintainer(name) => here.config.set_author(name),
            Body::Onbuild(trigger) => here.config.add_trigger(trigger),
        }
        Ok(Outcome::NOTHING)
    }

    /// `dispatchArg`: what was given, else the default, else the global value.
    fn argument(&self, argument: &Argument, here: &mut Stage) -> Result<()> {
        let value = match (self.request.args.get(&argument.name), &argument.value) {
            (Some(given), _) => Some(given.clone()),
            (None, Some(default)) => Some(self.expand(default, here)?.text),
            (None, None) => self.plan.globals.values.get(&argument.name).cloned(),
        };
        if let Some(value) = value {
            here.scope.set_arg(&argument.name, value);
        }
        Ok(())
    }

    fn pairs(&self, pairs: &[Pair], here: &Stage) -> Result<Vec<(String, String)>> {
        let one =
            |pair: &Pair| Ok((self.expand(&pair.key, here)?.text, self.expand(&pair.value, here)?.text));
        pairs.iter().map(one).collect()
    }

    /// `WORKDIR`: the folder is made, of the user that commands would run as.
    fn workdir(&self, word: &Word, here: &mut Stage) -> Result<Outcome> {
        let text = self.expand(&word.text, here)?.text;
        let path = absolute(here.config.text("WorkingDir"), &text);
        let shown = format!("/{}", String::from_utf8_lossy(&path));
        here.config.set("WorkingDir", shown);
        if path.is_empty() {
            return Ok(Outcome::NOTHING);
        }
        let user = here.config.text("User").to_owned();
        let owner = self.owner(&user, here)?;
        let view = self.view(here)?;
        let mut patch = Patch::over(view);
        let folder = patch.resolve(&path)?;
        debug_assert!(!name(&folder).is_empty() || folder.is_empty());
        patch.folders(&folder, owner)?;
        let stop = || self.cancel.is_cancelled();
        let (layer, cached) = patch.into_layer(&self.making(&stop))?;
        Ok(Outcome { layer, cached })
    }

    /// The user and group that `user[:group]` is in a stage; none in particular when it is empty.
    pub(super) fn owner(&self, text: &str, here: &mut Stage) -> Result<Option<(u32, u32)>> {
        if text.is_empty() {
            return Ok(None);
        }
        let numbers = text.split(':').all(|part| part.parse::<u32>().is_ok());
        // Numbers mean themselves, so nobody looks into the image.
        let users = if numbers { Users::default() } else { Users::of(self.images.layers, self.view(here)?)? };
        Ok(Some(users.owner(text)))
    }
}
