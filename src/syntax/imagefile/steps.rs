//! `extra_hosts`, `shm_size`, `ulimits` and `annotations`, read with the words of docker's flags.
//!
//! Knows their spelling; which builder grants them is for the engines.

use std::collections::BTreeMap;

use super::Word;
use super::raw::Pairs;
use super::scope::Scope;
use crate::model::sandbox::Sandbox;
use crate::syntax::container::{limits, words};
use crate::syntax::error::SyntaxError;
use crate::syntax::suggest::did_you_mean;

/// Rights that BuildKit gives to steps.
const ENTITLEMENTS: [&str; 2] = ["network.host", "security.insecure"];

impl Scope<'_> {
    /// The surroundings of `RUN` steps.
    pub(super) fn sandbox(&mut self, hosts: &Pairs<Word>, shm: Option<&Word>, limits: &[Word]) -> Sandbox {
        let mut sandbox = Sandbox::default();
        for (host, address) in hosts {
            let address = self.fill(address);
            let read = words::host(&format!("{}={}", host.text, address.text));
            match read.map(|line| line.split_once(':').map(|(_, address)| address.to_owned())) {
                Ok(Some(address)) if !host.text.contains([':', ',', ' ']) => {
                    sandbox.hosts.insert(host.text.clone(), address);
                }
                _ => {
                    let message = format!("`{}` is no address of the host `{}`", address.text, host.text);
                    let hint = "write it as {\"db\": \"10.0.0.7\"}; \"host-gateway\" is the engine's machine";
                    self.errors.push(SyntaxError::new(address.span, message).hint(hint));
                }
            }
        }
        if let Some(size) = shm.map(|word| self.fill(word)) {
            match limits::bytes(&size.text) {
                Ok(bytes) => sandbox.shm_size_bytes = Some(bytes),
                Err(why) => self.errors.push(SyntaxError::new(size.span, why)),
            }
        }
        for limit in self.words(limits) {
            match limits::ulimit(&limit.text) {
                Ok(read) => drop(sandbox.ulimits.insert(read.name, (read.soft, read.hard))),
                Err(why) => self.errors.push(SyntaxError::new(limit.span, why)),
            }
        }
        sandbox
    }

    /// Words, variables filled in.
    pub(super) fn texts(&mut self, words: &[Word]) -> Vec<String> {
        self.words(words).into_iter().map(|word| word.text).collect()
    }

    /// Rights of steps, as BuildKit names them.
    pub(super) fn entitlements(&mut self, words: &[Word]) -> Vec<Word> {
        let words = self.words(words);
        for word in words.iter().filter(|word| !ENTITLEMENTS.contains(&word.text.as_str())) {
            let hint = did_you_mean(&word.text, ENTITLEMENTS)
                .unwrap_or_else(|| format!("there are {}", ENTITLEMENTS.join(" and ")));
            let message = format!("there is no entitlement `{}`", word.text);
            self.errors.push(SyntaxError::new(word.span, message).hint(hint));
        }
        words
    }

    /// Annotations of the manifest, `KEY` or docker's `manifest:KEY`, and those of the index, `index:KEY`; `index,manifest:KEY`
    /// is of both.
    pub(super) fn annotations(
        &mut self,
        pairs: &Pairs<Word>,
    ) -> (BTreeMap<String, String>, BTreeMap<String, String>) {
        let (mut of_manifest, mut of_index) = (BTreeMap::new(), BTreeMap::new());
        for (key, value) in pairs {
            let (scopes, name) = match key.text.split_once(':') {
                Some((scopes, name)) if !scopes.contains(['.', '/']) => (scopes, name),
                _ => ("manifest", key.text.as_str()),
            };
            let value = self.fill(value).text;
            for scope in scopes.split(',') {
                match scope {
                    "manifest" if !name.is_empty() => of_manifest.insert(name.to_owned(), value.clone()),
                    "index" if !name.is_empty() => of_index.insert(name.to_owned(), value.clone()),
                    _ => {
                        let message = format!("`{}` is no annotation of a manifest or an index", key.text);
                        let hint = "write the key alone, as in {\"org.opencontainers.image.vendor\": \"acme\"}, or \"index:KEY\"";
                        self.errors.push(SyntaxError::new(key.span, message).hint(hint));
                        break;
                    }
                };
            }
        }
        (of_manifest, of_index)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use crate::syntax::imagefile::read;

    fn image(keys: &str) -> Result<crate::syntax::imagefile::Declaration, String> {
        let text = format!(
            r#"(templates: {{"t": (extra_hosts: {{"a": "10.0.0.1"}}, annotations: {{"x": "1"}})}}, images: {{"i": (like: "t", {keys})}})"#
        );
        let read = read(&text, &BTreeMap::new());
        read.map(|file| file.images[0].clone()).map_err(|errors| errors[0].message.clone())
    }

    #[test]
    fn the_surroundings_of_steps_are_read_and_inherited() {
        let found = image(r#"extra_hosts: {"db": "[::1]", "up": "host-gateway"}, shm_size: "1m", ulimits: "nofile=1:2", annotations: {"manifest:y": "2", "index,manifest:z": "3", "index:w": "4"}"#).unwrap();
        let hosts: Vec<_> = found.sandbox.hosts.iter().map(|(a, b)| format!("{a}={b}")).collect();
        assert_eq!(hosts, ["a=10.0.0.1", "db=::1", "up=host-gateway"]);
        assert_eq!(found.sandbox.shm_size_bytes, Some(1 << 20));
        assert_eq!(found.sandbox.ulimits["nofile"], (1, 2));
        let annotations: Vec<_> = found.annotations.iter().map(|(a, b)| format!("{a}={b}")).collect();
        assert_eq!(annotations, ["x=1", "y=2", "z=3"]);
        let of_index: Vec<_> = found.index_annotations.iter().map(|(a, b)| format!("{a}={b}")).collect();
        assert_eq!(of_index, ["w=4", "z=3"]);
    }

    #[test]
    fn what_is_no_setting_is_told() {
        for (keys, wanted) in [
            (r#"extra_hosts: {"db": "nowhere"}"#, "`nowhere` is no address of the host `db`"),
            (r#"extra_hosts: {"a,b": "1.1.1.1"}"#, "`1.1.1.1` is no address of the host `a,b`"),
            (r#"shm_size: "much""#, "`much` is no size: write it as 512m or 2g"),
            (r#"ulimits: "nofile""#, "`nofile` is no limit: write it as nofile=1024:2048"),
            (
                r#"annotations: {"manifest-descriptor:a": "b"}"#,
                "`manifest-descriptor:a` is no annotation of a manifest or an index",
            ),
        ] {
            assert_eq!(image(keys).unwrap_err(), wanted);
        }
    }
}
