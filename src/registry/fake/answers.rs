//! How the fake registry answers: the trait, over what it keeps in memory.

use std::collections::BTreeMap;
use std::io::{SeekFrom, Write};

use super::super::document::{CREATED, MANIFEST, artifact, is_index};
use super::super::{Content, by_digest, place_of};
use super::{
    Descriptor, Document, FakeFault, FakeRegistry, Faulty, Manifest, Question, Reference, Registry,
    RegistryError, State, digest, pointer,
};

impl FakeRegistry {
    /// Records a question, waits as told, and answers it unless the host is in trouble.
    fn answer<T>(
        &self,
        verb: &'static str,
        about: &Reference,
        answer: impl FnOnce(&mut State) -> Result<T, RegistryError>,
    ) -> Result<T, RegistryError> {
        if let Some(act) = self.due() {
            act(self);
        }
        let delay = {
            let mut state = self.state();
            state.questions.push(Question { verb, name: about.to_string() });
            state.running += 1;
            state.most_at_once = state.most_at_once.max(state.running);
            state.delays.get(&about.registry).copied()
        };
        if let Some(delay) = delay {
            std::thread::sleep(delay);
        }
        let mut state = self.state();
        state.running -= 1;
        state.trouble(about)?;
        answer(&mut state)
    }

    /// The act of somebody else, if it is due before this question.
    fn due(&self) -> Option<super::Interruption> {
        let mut state = self.state();
        match state.interruption.take() {
            Some((0, act)) => Some(act),
            later => {
                state.interruption = later.map(|(after, act)| (after - 1, act));
                None
            }
        }
    }

    /// Copies between two places of the memory, the things named first.
    fn carry(state: &mut State, from: &Reference, to: &Reference) -> Result<Descriptor, RegistryError> {
        let absent = || RegistryError::refused(from, "copying", "the registry has no such manifest");
        let source = state.repositories.get(&from.name()).ok_or_else(absent)?;
        let manifest = source.find(from).ok_or_else(absent)?.clone();
        let document = Document::parse(&manifest.bytes)
            .map_err(|why| RegistryError::corrupt(from, "the question for a manifest", why))?;
        let mut blobs = Vec::new();
        for entry in document.blobs() {
            let bytes = source.blobs.get(&entry.digest).ok_or_else(|| {
                RegistryError::refused(from, "copying", format!("blob {} is missing", entry.digest))
            })?;
            blobs.push((entry.digest.clone(), bytes.clone()));
        }
        for entry in &document.manifests {
            Self::carry(state, &by_digest(from, &entry.digest), &by_digest(to, &entry.digest))?;
        }
        state.repositories.entry(to.name()).or_default().blobs.extend(blobs);
        state.put(to, &manifest)?;
        Ok(manifest.descriptor())
    }
}

impl State {
    fn trouble(&mut self, about: &Reference) -> Result<(), RegistryError> {
        let host = about.registry.clone();
        let Some(Faulty { fault, after, times }) = self.faults.get_mut(&host) else { return Ok(()) };
        if *after > 0 {
            *after -= 1;
            return Ok(());
        }
        match times {
            Some(0) => return Ok(()),
            Some(left) => *left -= 1,
            None => {}
        }
        let said = "the test said so";
        Err(match fault {
            FakeFault::Unreachable => RegistryError::unreachable(about, said),
            FakeFault::Denied => RegistryError::Denied {
                host,
                repository: about.repository.clone(),
                login: None,
                why: said.to_owned(),
            },
            FakeFault::Throttled(wait) => {
                RegistryError::Throttled { host, repository: about.repository.clone(), wait: *wait }
            }
            FakeFault::Refused(why) => RegistryError::refused(about, "the request", why.clone()),
            FakeFault::Corrupt => RegistryError::corrupt(about, "the request", said),
        })
    }

    fn find(&self, at: &Reference) -> Option<&Manifest> {
        self.repositories.get(&at.name())?.find(at)
    }

    fn has_blob(&self, at: &Reference, digest: &str) -> bool {
        self.repositories.get(&at.name()).is_some_and(|repository| repository.blobs.contains_key(digest))
    }

    fn put(&mut self, at: &Reference, manifest: &Manifest) -> Result<(), RegistryError> {
        let refused = |why: String| RegistryError::refused(at, format!("putting `{}`", pointer(at)), why);
        if !digest::is(&manifest.digest, &manifest.bytes) {
            return Err(refused("provided digest did not match uploaded content".into()));
        }
        let frozen = self.immutable.contains(&at.registry);
        let repository = self.repositories.entry(at.name()).or_default();
        if let Some(missing) = repository.missing(manifest).map_err(refused)? {
            return Err(refused(format!("{missing} is unknown to the registry")));
        }
        if frozen && at.tag.as_ref().is_some_and(|tag| repository.tags.contains_key(tag)) {
            return Err(refused("tag invalid: the tag is immutable".into()));
        }
        repository.tag(at, manifest);
        Ok(())
    }
}

impl Registry for FakeRegistry {
    fn head(&self, reference: &Reference) -> Result<Option<Descriptor>, RegistryError> {
        self.answer("head", reference, |state| Ok(state.find(reference).map(Manifest::descriptor)))
    }

    fn manifest(&self, reference: &Reference) -> Result<Option<Manifest>, RegistryError> {
        self.answer("manifest", reference, |state| Ok(state.find(reference).cloned()))
    }

    fn platform(&self, reference: &Reference, platform: &str) -> Result<Option<Descriptor>, RegistryError> {
        self.answer("platform", reference, |state| {
            let Some(manifest) = state.find(reference) else { return Ok(None) };
            if !is_index(&manifest.media_type) {
                return Ok(Some(manifest.descriptor()));
            }
            let chosen = Document::parse(&manifest.bytes)
                .and_then(|document| document.choose(platform).map(|entry| entry.descriptor()));
            chosen
                .map(Some)
                .map_err(|why| RegistryError::refused(reference, format!("platform {platform}"), why))
        })
    }

    fn blob(&self, repository: &Reference, digest: &str) -> Result<Vec<u8>, RegistryError> {
        self.answer("blob", repository, |state| {
            let found = state.repositories.get(&repository.name()).and_then(|it| it.blobs.get(digest));
            found
                .cloned()
                .ok_or_else(|| RegistryError::refused(repository, format!("blob {digest}"), "blob unknown"))
        })
    }

    fn download(
        &self,
        repository: &Reference,
        digest: &str,
        into: &mut dyn Write,
    ) -> Result<(), RegistryError> {
        let bytes = self.blob(repository, digest)?;
        into.write_all(&bytes)
            .map_err(|error| RegistryError::refused(repository, "fetching a blob", error.to_string()))
    }

    /// The file's content is what tells its states apart.
    fn fetch(&self, url: &str, into: &mut dyn Write) -> Result<bool, RegistryError> {
        let Some(state) = self.web(url)? else { return Ok(false) };
        let kept = into.write_all(state.as_bytes());
        kept.map_err(|error| RegistryError::refused(&place_of(url), "fetching a file", error.to_string()))?;
        Ok(true)
    }

    fn has_blob(&self, repository: &Reference, digest: &str) -> Result<bool, RegistryError> {
        self.answer("has_blob", repository, |state| Ok(state.has_blob(repository, digest)))
    }

    fn mount(&self, to: &Reference, digest: &str, from: &Reference) -> Result<bool, RegistryError> {
        self.answer("mount", to, |state| {
            if to.registry != from.registry || !state.has_blob(from, digest) {
                return Ok(false);
            }
            let bytes = state.repositories[&from.name()].blobs[digest].clone();
            state.repositories.entry(to.name()).or_default().blobs.insert(digest.to_owned(), bytes);
            Ok(true)
        })
    }

    fn upload(&self, to: &Reference, digest: &str, content: &mut dyn Content) -> Result<(), RegistryError> {
        self.answer("upload", to, |state| {
            let refused = |why: String| RegistryError::refused(to, format!("uploading {digest}"), why);
            let mut bytes = Vec::new();
            content.seek(SeekFrom::Start(0)).map_err(|error| refused(error.to_string()))?;
            content.read_to_end(&mut bytes).map_err(|error| refused(error.to_string()))?;
            if !digest::is(digest, &bytes) {
                return Err(refused("provided digest did not match uploaded content".into()));
            }
            state.repositories.entry(to.name()).or_default().blobs.insert(digest.to_owned(), bytes);
            Ok(())
        })
    }

    fn put_manifest(&self, reference: &Reference, manifest: &Manifest) -> Result<(), RegistryError> {
        self.answer("put_manifest", reference, |state| state.put(reference, manifest))
    }

    fn untag(&self, tag: &Reference) -> Result<bool, RegistryError> {
        self.answer("untag", tag, |state| {
            if state.keeping.contains(&tag.registry) {
                return Ok(false);
            }
            if let Some(repository) = state.repositories.get_mut(&tag.name()) {
                repository.tags.remove(pointer(tag));
            }
            Ok(true)
        })
    }

    fn copy(&self, from: &Reference, to: &Reference) -> Result<Descriptor, RegistryError> {
        self.answer("copy", to, |state| {
            state.trouble(from)?;
            let there = state.find(to).map(Manifest::descriptor);
            match (there, state.find(from)) {
                (Some(there), Some(source)) if there.digest == source.digest => Ok(there),
                _ => Self::carry(state, from, to),
            }
        })
    }

    fn web(&self, url: &str) -> Result<Option<String>, RegistryError> {
        let about = place_of(url);
        self.answer("web", &about, |state| Ok(state.files.get(url).cloned()))
    }

    fn post(
        &self,
        url: &str,
        headers: &BTreeMap<String, String>,
        body: Vec<u8>,
    ) -> Result<u16, RegistryError> {
        let about = Reference { repository: String::new(), ..place_of(url) };
        self.answer("post", &about, |state| {
            state.posted.push((url.to_owned(), headers.clone(), body));
            Ok(200)
        })
    }

    fn tags(&self, repository: &Reference) -> Result<Vec<String>, RegistryError> {
        self.answer("tags", repository, |state| {
            let found = state.repositories.get(&repository.name());
            Ok(found.map(|it| it.tags.keys().cloned().collect()).unwrap_or_default())
        })
    }

    fn attach(
        &self,
        subject: &Reference,
        artifact_type: &str,
        annotations: &BTreeMap<String, String>,
        media_type: &str,
        payload: &[u8],
    ) -> Result<String, RegistryError> {
        self.answer("attach", subject, |state| {
            let found = state.find(subject).map(Manifest::descriptor);
            let Some(subject_is) = found else {
                return Err(RegistryError::refused(
                    subject,
                    "attaching a document",
                    "there is no such manifest",
                ));
            };
            state.clock += 1;
            let now = jiff::Timestamp::new(state.clock, 0).unwrap_or_default().to_string();
            let mut annotations = annotations.clone();
            annotations.entry(CREATED.to_owned()).or_insert(now);
            let blob = Descriptor {
                media_type: media_type.to_owned(),
                digest: digest::of(payload),
                size: payload.len() as u64,
            };
            let bytes = artifact(Some(&subject_is), artifact_type, &annotations, &blob);
            let manifest = Manifest::new(MANIFEST, bytes);
            let repository = state.repositories.entry(subject.name()).or_default();
            repository.blobs.insert(blob.digest.clone(), payload.to_vec());
            repository.manifests.insert(manifest.digest.clone(), manifest.clone());
            let list = repository.attached.entry(subject_is.digest).or_default();
            list.push((artifact_type.to_owned(), blob.digest));
            Ok(manifest.digest)
        })
    }

    fn attached(&self, subject: &Reference, artifact_type: &str) -> Result<Vec<Vec<u8>>, RegistryError> {
        self.answer("attached", subject, |state| {
            let Some(repository) = state.repositories.get(&subject.name()) else { return Ok(Vec::new()) };
            let list = repository.find(subject).and_then(|it| repository.attached.get(&it.digest));
            let ours = list.into_iter().flatten().rev().filter(|(kind, _)| kind == artifact_type);
            Ok(ours.map(|(_, blob)| repository.blobs[blob].clone()).collect())
        })
    }
}
