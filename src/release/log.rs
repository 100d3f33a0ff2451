//! The release log: one artifact a release in a repository of the registry, under a tag made of its id.
//!
//! The tags are the list, so that every registry that keeps images can keep it. Claims of releases that are
//! under way stand beside, under tags of their own. Knows how records are kept, not what they are for.

use std::collections::BTreeSet;
use std::io::Cursor;

use serde::{Deserialize, Serialize};

use crate::registry::document::{self, Document, EMPTY_BYTES};
use crate::registry::{Descriptor, Manifest, Registry, RegistryError, by_tag, digest};
use crate::release::moves::TagMove;
use crate::release::record::Release;
use crate::syntax::reference::{self, Reference};

/// The type of a release's artifact.
pub const RELEASE: &str = "application/vnd.imk.release.v1+json";
/// The type of the artifact of a release that is under way.
const CLAIM: &str = "application/vnd.imk.release-claim.v1+json";
/// The beginning of the log's tags.
const TAG: &str = "imk-release-";
/// The beginning of the tags of claims.
const CLAIM_TAG: &str = "imk-claim-";

/// A release that is under way, as every machine can read it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Claim {
    /// The record that will be written.
    pub release: Release,
    /// How.
    pub moves: Vec<TagMove>,
    /// It is under way no more, and no tag of it was left behind. Said where a registry takes no tag away.
    #[serde(default)]
    pub withdrawn: bool,
}

impl Claim {
    /// Says whether it moves tags of these repositories and of no other. Whoever may push to the log can write a claim,
    /// and it is completed with the login of whoever finds it.
    pub(super) fn is_within(&self, repositories: &BTreeSet<String>) -> bool {
        self.moves.iter().all(|step| is_of(&step.tag, repositories))
    }
}

/// Says whether a tag or a repository is one of these repositories, whatever the log says around it.
pub(super) fn is_of(name: &str, repositories: &BTreeSet<String>) -> bool {
    reference::parse(name).is_ok_and(|name| repositories.contains(&name.name()))
}

/// A release as far as it is one of images here, and what it says of other repositories. Whoever may push to the log can
/// write a record, which is no reason to ask, or to move, a tag elsewhere.
pub fn within(release: Release, repositories: &BTreeSet<String>) -> (Release, BTreeSet<String>) {
    let (images, elsewhere): (Vec<_>, Vec<_>) =
        release.images.into_iter().partition(|image| is_of(&image.repository, repositories));
    (Release { images, ..release }, elsewhere.into_iter().map(|image| image.repository).collect())
}

/// The log at one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Look {
    /// The ids of all releases, the oldest first.
    pub ids: Vec<String>,
    /// The names of all claims, by the ids that their releases will have.
    pub claims: Vec<String>,
}

/// The log of a repository of images.
pub struct ReleaseLog<'r> {
    pub(super) registry: &'r dyn Registry,
    /// Where it is kept.
    pub at: Reference,
}

impl Look {
    /// The claims of releases that the log has not, and that come after the newest it has: others are past.
    pub(super) fn open_claims(&self) -> impl Iterator<Item = &String> {
        let newest = self.ids.last().map(String::as_str);
        let is_past =
            move |name: &&String| newest.is_some_and(|id| name.starts_with(id) || name.as_str() < id);
        self.claims.iter().filter(move |name| !is_past(name))
    }
}

impl<'r> ReleaseLog<'r> {
    /// The log that is kept at that repository.
    pub fn new(registry: &'r dyn Registry, at: Reference) -> Self {
        Self { registry, at }
    }

    /// Writes a release down. One that is there already is left as it is.
    ///
    /// # Errors
    /// When the registry does not take it.
    pub fn append(&self, release: &Release) -> Result<(), RegistryError> {
        self.put(&format!("{TAG}{}", release.id), RELEASE, &release.bytes())
    }

    /// Puts bytes under a tag, unless they are there already.
    fn put(&self, tag: &str, artifact_type: &str, payload: &[u8]) -> Result<(), RegistryError> {
        let blob = Descriptor {
            media_type: artifact_type.to_owned(),
            digest: digest::of(payload),
            size: payload.len() as u64,
        };
        for bytes in [payload, EMPTY_BYTES] {
            let digest = digest::of(bytes);
            if !self.registry.has_blob(&self.at, &digest)? {
                self.registry.upload(&self.at, &digest, &mut Cursor::new(bytes))?;
            }
        }
        let bytes = document::artifact(None, artifact_type, &Default::default(), &blob);
        let manifest = Manifest::new(document::MANIFEST, bytes);
        let tag = by_tag(&self.at, tag);
        match self.registry.head(&tag)? {
            Some(found) if found.digest == manifest.digest => Ok(()),
            _ => self.registry.put_manifest(&tag, &manifest),
        }
    }

    /// The bytes under a tag; `None` when there is no such tag.
    fn get(&self, tag: &str, what: &str) -> Result<Option<Vec<u8>>, RegistryError> {
        let tag = by_tag(&self.at, tag);
        let Some(manifest) = self.registry.manifest(&tag)? else { return Ok(None) };
        let document = Document::parse(&manifest.bytes).map_err(|why| self.unreadable(what, why))?;
        let layer = document.layers.first();
        let layer = layer.ok_or_else(|| self.unreadable(what, "it holds nothing".into()))?;
        self.registry.blob(&self.at, &layer.digest).map(Some)
    }

    fn unreadable(&self, what: &str, why: String) -> RegistryError {
        RegistryError::Corrupt {
            host: self.at.registry.clone(),
            repository: self.at.repository.clone(),
            what: what.to_owned(),
            why,
        }
    }

    /// Writes a claim down, or another state of it.
    ///
    /// # Errors
    /// When the registry does not take it.
    pub(super) fn put_claim(&self, name: &str, claim: &Claim) -> Result<(), RegistryError> {
        self.put(&format!("{CLAIM_TAG}{name}"), CLAIM, &serde_json::to_vec(claim).unwrap_or_default())
    }

    /// Reads a claim; `None` when there is none of that name.
    ///
    /// # Errors
    /// When the registry does not say, or what it has is no claim.
    pub(super) fn claim(&self, name: &str) -> Result<Option<Claim>, RegistryError> {
        let what = format!("the claim of release `{name}`");
        let Some(bytes) = self.get(&format!("{CLAIM_TAG}{name}"), &what)? else { return Ok(None) };
        serde_json::from_slice(&bytes).map(Some).map_err(|error| self.unreadable(&what, error.to_string()))
    }

    /// Takes the tag of a claim away. `false` when the registry takes none away.
    ///
    /// # Errors
    /// When the registry does not answer.
    pub(super) fn drop_claim(&self, name: &str) -> Result<bool, RegistryError> {
        self.registry.untag(&by_tag(&self.at, &format!("{CLAIM_TAG}{name}")))
    }

    /// The log at one moment: one question for both.
    ///
    /// # Errors
    /// When the registry does not say.
    pub(super) fn look(&self) -> Result<Look, RegistryError> {
        let tags = self.registry.tags(&self.at)?;
        let with = |prefix: &str| -> Vec<String> {
            let mut found: Vec<String> =
                tags.iter().filter_map(|tag| tag.strip_prefix(prefix)).map(str::to_owned).collect();
            found.sort_unstable();
            found
        };
        Ok(Look { ids: with(TAG), claims: with(CLAIM_TAG) })
    }

    /// Releases of these repositories that are under way, or were cut off.
    ///
    /// # Errors
    /// As [`Self::read`].
    pub fn under_way(&self, repositories: &BTreeSet<String>) -> Result<Vec<Release>, RegistryError> {
        let mut releases = Vec::new();
        for name in self.look()?.open_claims() {
            let claim = self.claim(name)?.filter(|claim| !claim.withdrawn && claim.is_within(repositories));
            releases.extend(claim.map(|claim| claim.release));
        }
        Ok(releases)
    }

    /// The ids of all releases, the oldest first.
    ///
    /// # Errors
    /// When the registry does not say.
    pub fn ids(&self) -> Result<Vec<String>, RegistryError> {
        Ok(self.look()?.ids)
    }

    /// A release by its id; `None` when the log has none of that id.
    ///
    /// # Errors
    /// When the registry does not say, or what it has is no release.
    pub fn read(&self, id: &str) -> Result<Option<Release>, RegistryError> {
        let what = format!("the record of release `{id}`");
        let Some(payload) = self.get(&format!("{TAG}{id}"), &what)? else { return Ok(None) };
        let release: Release =
            serde_json::from_slice(&payload).map_err(|error| self.unreadable(&what, error.to_string()))?;
        // A record says of itself which it is: one that was copied under another tag is none.
        match release.id == id {
            true => Ok(Some(release)),
            false => Err(self.unreadable(&what, format!("it calls itself `{}`", release.id))),
        }
    }

    /// The newest release.
    ///
    /// # Errors
    /// As [`Self::read`].
    pub fn newest(&self) -> Result<Option<Release>, RegistryError> {
        match self.ids()?.last() {
            Some(id) => self.read(id),
            None => Ok(None),
        }
    }
}
