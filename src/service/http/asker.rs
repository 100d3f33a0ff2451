//! The one who asks: a browser with a session, a program with the token, or anybody.
//!
//! Reading is anybody's. To act, a program shows the token itself (`Authorization: Bearer`); a browser shows the session that it
//! got for it, and with it the key of a form that only a page of ours can have. Behind a proxy everybody comes from
//! loopback, so an address is no proof of anything.

use std::io;
use std::sync::Arc;

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use axum::http::{HeaderMap, StatusCode, header};

use crate::model::time::UnixSeconds;
use crate::service::shared::Shared;
use crate::service::token::Token;

/// The name of the cookie with the session.
pub const COOKIE: &str = "imk";

/// The one who asks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Asker {
    /// Anybody.
    Reader,
    /// A browser that signed in.
    Browser {
        /// Its session.
        session: String,
        /// The key of its forms.
        form_key: String,
    },
    /// A program that shows the token.
    Program,
}

/// Why somebody may not act.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Denied {
    /// The token was not shown.
    NoToken,
    /// The request is of a page that is not ours.
    Elsewhere,
}

impl Asker {
    /// The key of forms, for a browser that signed in.
    pub fn form_key(&self) -> Option<&str> {
        match self {
            Self::Browser { form_key, .. } => Some(form_key),
            Self::Reader | Self::Program => None,
        }
    }

    /// The right to act, by a request with these headers and this key in its form.
    ///
    /// # Errors
    /// The reason why not.
    pub fn may_act(&self, shared: &Shared, headers: &HeaderMap, key: &str) -> Result<(), Denied> {
        // A browser says where a request is from; one that comes from elsewhere is refused whatever it brings.
        if !is_from_here(headers, shared.settings.public_url.as_deref()) {
            return Err(Denied::Elsewhere);
        }
        match self {
            Self::Program => Ok(()),
            Self::Browser { session, .. }
                if token(shared).is_ok_and(|token| token.is_form_of(session, key)) =>
            {
                Ok(())
            }
            Self::Browser { .. } => Err(Denied::Elsewhere),
            Self::Reader => Err(Denied::NoToken),
        }
    }
}

/// Whether a browser sent this from a page of this service, or something sent it that is no browser.
pub fn is_from_here(headers: &HeaderMap, public_url: Option<&str>) -> bool {
    let text = |name: &str| headers.get(name).map(|value| value.to_str().unwrap_or("?"));
    if text("sec-fetch-site").is_some_and(|site| site != "same-origin" && site != "none") {
        return false;
    }
    match text("origin") {
        // A page that sends no referrer has no origin for a form either; its key speaks for it.
        None | Some("null") => true,
        Some(origin) => {
            let host = text("host");
            let public =
                public_url.and_then(|url| url.split("://").nth(1)).and_then(|rest| rest.split('/').next());
            let from = origin.split_once("://").map(|(_, from)| from.to_ascii_lowercase());
            let is = |name: Option<&str>| name.is_some_and(|name| Some(name.to_ascii_lowercase()) == from);
            is(host) || is(public)
        }
    }
}

/// The token as it is now: whoever puts another into its file, or removes the file, ends all sessions with that.
///
/// # Errors
/// When its file can be neither read nor made.
pub fn token(shared: &Shared) -> io::Result<Token> {
    Token::open(&shared.state)
}

const UNREADABLE: (StatusCode, &str) =
    (StatusCode::SERVICE_UNAVAILABLE, "the token cannot be read at the moment\n");

impl FromRequestParts<Arc<Shared>> for Asker {
    type Rejection = (StatusCode, &'static str);

    async fn from_request_parts(parts: &mut Parts, shared: &Arc<Shared>) -> Result<Self, Self::Rejection> {
        let header =
            |name| parts.headers.get(name).and_then(|value: &header::HeaderValue| value.to_str().ok());
        if let Some(given) = header(header::AUTHORIZATION) {
            // Whoever shows a token wants it to count: a wrong one is told, not passed over.
            let (scheme, token) = given.split_once(' ').unwrap_or((given, ""));
            let own = self::token(shared).map_err(|_| UNREADABLE)?;
            return match scheme.eq_ignore_ascii_case("bearer") && own.admits(token.trim()) {
                true => Ok(Self::Program),
                false => Err((StatusCode::UNAUTHORIZED, "that is not the token\n")),
            };
        }
        let cookies = parts.headers.get_all(header::COOKIE).iter().filter_map(|value| value.to_str().ok());
        let session = cookies
            .flat_map(|cookies| cookies.split(';'))
            .filter_map(|cookie| cookie.trim().strip_prefix(COOKIE)?.strip_prefix('='))
            .find_map(|session| Some((session, token(shared).ok()?.form_key(session, UnixSeconds::now())?)));
        Ok(match session {
            Some((session, form_key)) => Self::Browser { session: session.to_owned(), form_key },
            None => Self::Reader,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        pairs.iter().map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap())).collect()
    }

    #[test]
    fn a_page_elsewhere_is_told_from_a_page_of_ours() {
        let public = Some("https://imk.example.com");
        let here = |pairs: &[(&'static str, &str)]| is_from_here(&headers(pairs), public);
        assert!(here(&[("host", "127.0.0.1:8737")]), "curl says nothing");
        assert!(here(&[("host", "127.0.0.1:8737"), ("origin", "http://127.0.0.1:8737")]));
        assert!(
            here(&[("host", "127.0.0.1:8737"), ("origin", "https://imk.EXAMPLE.com")]),
            "a proxy may change the host"
        );
        assert!(here(&[("host", "h"), ("origin", "null"), ("sec-fetch-site", "same-origin")]));
        for bad in [
            &[("host", "127.0.0.1:8737"), ("origin", "http://evil.example")][..],
            &[("host", "127.0.0.1:8737"), ("origin", "http://127.0.0.1:8738")],
            &[("host", "127.0.0.1:8737"), ("origin", "http://127.0.0.1:8737.evil.example")],
            &[("host", "h"), ("origin", "null"), ("sec-fetch-site", "cross-site")],
            &[("host", "h"), ("sec-fetch-site", "same-site")],
            &[("host", "h"), ("origin", "h")],
        ] {
            assert!(!here(bad), "{bad:?}");
        }
    }
}
