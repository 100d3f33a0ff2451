//! A release as it is written down. Bytes and values; it knows no registry.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use jiff::ToSpan;
use jiff::fmt::strtime;

use crate::model::hash::ContentHash;

/// A time in UTC as tags have it.
const FORM: &str = "%Y%m%dT%H%M%SZ";

/// How a release came to be.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// Results were published.
    Publish,
    /// An earlier release was restored.
    Rollback {
        /// Its id.
        to: String,
    },
}

/// A release: the images of a set and what their tags stood for before and after.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Release {
    /// Its id: when it was made, in UTC, and eight digits; `20261126T150000Z-0a1b2c3d`. Ids sort as time goes.
    pub id: String,
    /// How it came to be.
    pub kind: Kind,
    /// The commit that was checked out, if git told one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub commit: Option<String>,
    /// The version of imk that made it.
    pub imk: String,
    /// Its images, bases first.
    pub images: Vec<ReleasedImage>,
    /// Keys that were rolled back and not forced since: they are not published again by themselves.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub held: BTreeSet<HeldKey>,
}

/// An image of a release.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReleasedImage {
    /// The image of the repository.
    pub name: String,
    /// The action key of the result; `None` where it is only known by what a tag stood for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<ContentHash>,
    /// Where it is: registry and repository.
    pub repository: String,
    /// The digest of its manifest there.
    pub digest: String,
    /// The tags that stand for it.
    pub tags: Vec<ReleasedTag>,
}

/// A tag of a release.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReleasedTag {
    /// The tag alone: `latest`.
    pub tag: String,
    /// The digest that it stood for before the release; the same as after it for a tag that did not move.
    pub before: Option<String>,
    /// The text before and behind the time in the tag, if it has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub around_time: Option<(String, String)>,
}

/// A result that was rolled back.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct HeldKey {
    /// The image of the repository.
    pub image: String,
    /// Its action key.
    pub key: ContentHash,
    /// The rollback's id.
    pub since: String,
}

impl Release {
    /// A release made now. `time` is as tags have it: `20261126T150000Z`.
    pub fn new(time: &str, kind: Kind, commit: Option<String>, images: Vec<ReleasedImage>) -> Self {
        let imk = env!("CARGO_PKG_VERSION").to_owned();
        let mut release = Self { id: String::new(), kind, commit, imk, images, held: BTreeSet::new() };
        release.id = format!("{time}-{}", ContentHash::of(&release.bytes()).short(8));
        release
    }

    /// The time of a release that is made `now` after this one, as tags have it: later, whatever the clocks of two machines say.
    /// Ids are the order of the log, and two releases may be made within a second.
    pub fn later(&self, now: &str) -> String {
        if now > self.time() {
            return now.to_owned();
        }
        let next = strtime::parse(FORM, self.time()).and_then(|time| time.to_datetime());
        let next = next.and_then(|time| time.checked_add(1.second()));
        next.map_or_else(|_| now.to_owned(), |time| time.strftime(FORM).to_string())
    }

    /// As it is kept.
    pub fn bytes(&self) -> Vec<u8> {
        serde_json::to_vec_pretty(self).unwrap_or_default()
    }

    /// The time in its id, as tags have it.
    pub fn time(&self) -> &str {
        self.id.split('-').next().unwrap_or_default()
    }

    /// The image of that name.
    pub fn image(&self, name: &str) -> Option<&ReleasedImage> {
        self.images.iter().find(|image| image.name == name)
    }

    /// The release whose results are in force after this one: its own, or the one that it restored.
    pub fn in_force(&self) -> &str {
        match &self.kind {
            Kind::Publish => &self.id,
            Kind::Rollback { to } => to,
        }
    }
}
