//! All tags of a repository, page by page.

use std::collections::BTreeSet;

use reqwest::header::LINK;
use reqwest::{Method, StatusCode, Url};
use serde::Deserialize;

use super::base::Base;
use super::client::Client;
use super::wire::Answer;
use super::{read, words};
use crate::registry::RegistryError;
use crate::syntax::reference::Reference;

#[derive(Deserialize)]
struct Page {
    /// `null` where there are none.
    tags: Option<Vec<String>>,
}

impl Client {
    pub(super) async fn tags(&self, repository: &Reference) -> Result<Vec<String>, RegistryError> {
        let base = self.wire.base(repository).await?;
        let what = "the question for the tags";
        let mut first = base.of_repository(&repository.repository, "tags/list");
        first.set_query(Some("n=1000"));
        let mut next = Some(first);
        let (mut tags, mut seen) = (BTreeSet::new(), BTreeSet::new());
        while let Some(url) = next {
            if !seen.insert(url.to_string()) {
                return Err(RegistryError::corrupt(repository, what, "its pages go round in circles"));
            }
            let ask = self.wire.question(repository, what, Method::GET, url);
            let answer = self.wire.fetch(&base, &ask, read::BLOB).await?;
            match answer.status {
                StatusCode::OK => {}
                StatusCode::NOT_FOUND if words::is_absence(&answer.bytes) => break,
                _ => return Err(self.wire.refusal(&ask, &answer)),
            }
            let page: Page = serde_json::from_slice(&answer.bytes)
                .map_err(|_| RegistryError::corrupt(repository, what, "it is no list of tags"))?;
            tags.extend(page.tags.unwrap_or_default());
            next = following(&base, &ask.url, &answer);
        }
        Ok(tags.into_iter().collect())
    }
}

/// The next page: `Link: </v2/…>; rel="next"`. One at another server is none of this registry's pages.
pub(super) fn following(base: &Base, here: &Url, answer: &Answer) -> Option<Url> {
    let links = answer.headers.get_all(LINK).iter().filter_map(|link| link.to_str().ok());
    links.flat_map(each_link).find_map(|(address, rest)| {
        let rest = rest.to_lowercase();
        let is_next = rest.contains("rel=\"next\"") || rest.contains("rel=next");
        let mut url = here.join(address).ok().filter(|_| is_next)?;
        // Behind a proxy that adds TLS a registry may take itself for a server of plain HTTP.
        if url.host_str() == base.url.host_str() && !base.is_home_of(&url) {
            let (path, query) = (url.path().to_owned(), url.query().map(str::to_owned));
            url = base.url.clone();
            url.set_path(&path);
            url.set_query(query.as_deref());
        }
        Some(url).filter(|url| base.is_home_of(url))
    })
}

/// The links of a header with what is said of each. An address may hold commas.
fn each_link(mut text: &str) -> Vec<(&str, &str)> {
    let mut links = Vec::new();
    while let Some((_, rest)) = text.split_once('<') {
        let Some((address, rest)) = rest.split_once('>') else { break };
        let end = rest.find('<').unwrap_or(rest.len());
        links.push((address, &rest[..end]));
        text = &rest[end..];
    }
    links
}
