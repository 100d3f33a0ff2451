//! The service that somebody asks from the command line: which one it is, and what to do when it does not answer.

use clap::Args as Group;
use serde_json::Value;

use super::options::Read;
use crate::cli::failure::{Failure, cannot};
use crate::cli::out;
use crate::service::address::Address;
use crate::service::ask::{Answer, Client};
use crate::service::token::Token;
use crate::source::outside;
use crate::syntax::serve::Settings;
use crate::syntax::serve::names::RepositoryName;

/// The variable with the token of a service that is elsewhere.
const TOKEN: &str = "IMK_SERVE_TOKEN";

/// Options that say which service is asked.
#[derive(Clone, Debug, Default, Group)]
pub struct AskArgs {
    /// Ask the service at this address, with the token of IMK_SERVE_TOKEN or of --state [default: the one that has the state's folder]
    #[arg(long, value_name = "URL", env = "IMK_SERVE_URL")]
    pub url: Option<String>,
}

/// A service that is asked.
pub struct Asking {
    client: Client,
    settings: Settings,
}

impl Asking {
    /// The one that is meant: by its address, else by where it is said to listen, else by its folder.
    ///
    /// # Errors
    /// When it cannot be known where it is, or its token is not here.
    pub fn of(args: &AskArgs, read: Read, listen: Option<&str>) -> Result<Self, Failure> {
        let address = match &args.url {
            Some(url) => Address::typed(url).map_err(|why| {
                Failure::with_hint(why, "write https://imk.example.com, or http://127.0.0.1:8737")
            })?,
            None => here(&read, listen)?,
        };
        let given = std::env::var(TOKEN).ok().filter(|text| !text.is_empty());
        let token = match given {
            Some(text) => Some(Token::new(text.trim()).map_err(cannot("use the token of IMK_SERVE_TOKEN"))?),
            None => Token::read(&read.state).map_err(|error| {
                let hint =
                    "sudo may read it, and so may the service's own user; IMK_SERVE_TOKEN names it otherwise";
                Failure::with_hint(format!("cannot read the service's token: {error}"), hint)
            })?,
        };
        let Some(token) = token else {
            let hint = match args.url {
                Some(_) => "`imk serve token`, where the service runs, prints it: give it in IMK_SERVE_TOKEN",
                None => "`imk serve` starts one; --state or --config says where the state of another is",
            };
            let message = format!("no service has been started with the state `{}`", read.state.display());
            return Err(Failure::with_hint(message, hint));
        };
        Ok(Self { client: Client { address, token }, settings: read.settings })
    }

    /// Asks, and gives an answer that is one of these statuses.
    ///
    /// # Errors
    /// When no service answers, or it says no.
    pub fn ask(&self, path: &str, form: Option<String>, good: u16) -> Result<Value, Failure> {
        let answer = self.asked(path, form)?;
        let value = serde_json::from_slice(&answer.body);
        match value {
            Ok(value) if answer.status == good => Ok(value),
            _ => Err(self.refused(&answer)),
        }
    }

    /// As [`Self::ask`], for an answer that is text.
    ///
    /// # Errors
    /// When no service answers, or it says no.
    pub fn text(&self, path: &str) -> Result<String, Failure> {
        let answer = self.asked(path, None)?;
        match answer.status {
            200 => Ok(String::from_utf8_lossy(&answer.body).into_owned()),
            _ => Err(self.refused(&answer)),
        }
    }

    /// The door to the service.
    pub fn client(&self) -> &Client {
        &self.client
    }

    fn asked(&self, path: &str, form: Option<String>) -> Result<Answer, Failure> {
        self.client.ask(path, form).map_err(|why| self.away(&why))
    }

    /// The failure of a service that does not answer.
    pub fn away(&self, why: &str) -> Failure {
        let hint = "`imk serve` starts one; --state, --config, --listen or --url says which one is meant";
        Failure::with_hint(format!("no service answers at {}: {why}", self.client.address), hint)
    }

    /// The failure of an answer that says no.
    pub fn refused(&self, answer: &Answer) -> Failure {
        let value: Value = serde_json::from_slice(&answer.body).unwrap_or_default();
        let said = match value["error"].as_str() {
            Some(why) => why.to_owned(),
            None => String::from_utf8_lossy(&answer.body).lines().next().unwrap_or_default().to_owned(),
        };
        let said = if said.is_empty() { format!("the service says {}", answer.status) } else { said };
        match answer.status {
            401 => {
                let hint = "--state names the folder that the service has; `imk serve token` there prints its token for IMK_SERVE_TOKEN";
                Failure::with_hint("the service has another token", hint)
            }
            404 if said.contains("repository") => Failure::with_hint(said, self.repositories()),
            404 => Failure::with_hint(said, "`imk serve jobs` lists those that are kept"),
            421 => Failure::with_hint(said, "--url names the address by which the service goes"),
            _ => Failure::error(said),
        }
    }

    fn repositories(&self) -> String {
        let names: Vec<&str> = self.settings.repositories.keys().map(RepositoryName::as_str).collect();
        match names.as_slice() {
            [] => "`imk serve jobs` shows which ones the service has".to_owned(),
            names => format!("there are: {}", names.join(", ")),
        }
    }
}

/// The address of a service of this machine.
fn here(read: &Read, listen: Option<&str>) -> Result<Address, Failure> {
    let known = Address::read(&read.state).map_err(|error| {
        let hint = "sudo may read it, and so may the service's own user; --url with IMK_SERVE_TOKEN asks without the folder";
        Failure::with_hint(format!("cannot read where the service listens: {error}"), hint)
    })?;
    // Another place than the usual one was said, and TLS is as the service wrote down, or as its file says.
    let tls = known.as_ref().map_or(read.settings.tls.is_some(), |known| known.tls);
    let certificate = known.as_ref().and_then(|known| known.certificate.clone());
    let at = |listen: &str| Address::listened(listen, tls, certificate.clone());
    let typed = listen.filter(|listen| *listen != "systemd").and_then(at);
    typed.or_else(|| known.clone()).or_else(|| at(&read.settings.listen)).ok_or_else(|| {
        Failure::with_hint(
            format!("no service has listened yet with the state `{}`", read.state.display()),
            "`imk serve` starts one; --state or --config says where the state of another is, --url where it listens",
        )
    })
}

/// Prints the token, which is made where there is none.
///
/// # Errors
/// When it can be neither read nor made.
pub fn token(read: &Read) -> Result<(), Failure> {
    outside::make_folder(&read.state).map_err(cannot("make the service's folder"))?;
    out::line(Token::open(&read.state).map_err(cannot("read the service's token"))?.shown().to_owned());
    Ok(())
}
