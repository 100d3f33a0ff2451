//! Challenge of a registry: the `WWW-Authenticate` header, read.
//!
//! Text in, values out. Knows neither logins nor tokens.

use reqwest::header::{HeaderMap, WWW_AUTHENTICATE};

/// The proof that a registry wants to see.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Challenge {
    /// A name and a password with every question.
    Basic,
    /// A token from this address.
    Bearer { realm: String, service: Option<String>, scope: Option<String> },
}

/// The challenge we can meet best: a token rather than the password itself.
pub(super) fn of(headers: &HeaderMap) -> Option<Challenge> {
    let texts = headers.get_all(WWW_AUTHENTICATE).iter().filter_map(|value| value.to_str().ok());
    let all: Vec<Challenge> = texts.flat_map(parse).collect();
    all.iter().find(|it| matches!(it, Challenge::Bearer { .. })).or(all.first()).cloned()
}

/// All challenges of one header: `Basic realm="x", Bearer realm="https://…",service="y"`.
fn parse(text: &str) -> Vec<Challenge> {
    let mut found: Vec<(String, Vec<(String, String)>)> = Vec::new();
    for piece in pieces(text) {
        let word_end =
            piece.find(|c: char| !(c.is_ascii_alphanumeric() || "-_.~".contains(c))).unwrap_or(piece.len());
        let (word, rest) = piece.split_at(word_end);
        // `scheme`, `scheme name=value`, or a further `name=value` of the scheme before.
        match rest.trim_start().strip_prefix('=') {
            Some(value) => {
                if let Some((_, parameters)) = found.last_mut() {
                    parameters.push((word.to_lowercase(), unquoted(value)));
                }
            }
            None => {
                let parameter = rest.trim().split_once('=');
                let parameter = parameter.map(|(name, value)| (name.trim().to_lowercase(), unquoted(value)));
                found.push((word.to_lowercase(), parameter.into_iter().collect()));
            }
        }
    }
    found.into_iter().filter_map(|(scheme, parameters)| challenge(&scheme, &parameters)).collect()
}

fn challenge(scheme: &str, parameters: &[(String, String)]) -> Option<Challenge> {
    let value = |wanted: &str| {
        parameters
            .iter()
            .find(|(name, value)| name == wanted && !value.is_empty())
            .map(|(_, value)| value.clone())
    };
    match scheme {
        "basic" => Some(Challenge::Basic),
        "bearer" => Some(Challenge::Bearer {
            realm: value("realm")?,
            service: value("service"),
            scope: value("scope"),
        }),
        _ => None,
    }
}

/// Splits at commas outside of quotes: a scope may be `repository:app:pull,push`.
fn pieces(text: &str) -> Vec<&str> {
    let (mut pieces, mut start, mut quoted, mut escaped) = (Vec::new(), 0, false, false);
    for (at, c) in text.char_indices() {
        match c {
            _ if escaped => escaped = false,
            '\\' if quoted => escaped = true,
            '"' => quoted = !quoted,
            ',' if !quoted => {
                pieces.push(text[start..at].trim());
                start = at + 1;
            }
            _ => {}
        }
    }
    pieces.push(text[start..].trim());
    pieces.retain(|piece| !piece.is_empty());
    pieces
}

fn unquoted(value: &str) -> String {
    let value = value.trim();
    match value.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')) {
        Some(inner) => inner.replace("\\\"", "\"").replace("\\\\", "\\"),
        None => value.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn best(values: &[&'static str]) -> Option<Challenge> {
        of(&values.iter().map(|value| (WWW_AUTHENTICATE, value.parse().unwrap())).collect())
    }

    fn bearer(realm: &str, service: Option<&str>, scope: Option<&str>) -> Challenge {
        let owned = |text: Option<&str>| text.map(str::to_owned);
        Challenge::Bearer { realm: realm.into(), service: owned(service), scope: owned(scope) }
    }

    #[test]
    fn a_token_is_asked_for_with_service_and_scope() {
        let text = r#"Bearer realm="https://auth.example/token",service="r.example",scope="repository:app:pull,push""#;
        let expected =
            bearer("https://auth.example/token", Some("r.example"), Some("repository:app:pull,push"));
        assert_eq!(best(&[text]), Some(expected));
    }

    #[test]
    fn a_token_is_preferred_to_a_password_in_whatever_order_they_come() {
        let token = bearer("https://a.example", None, None);
        assert_eq!(best(&[r#"Basic realm="x", Bearer realm="https://a.example""#]), Some(token.clone()));
        assert_eq!(best(&[r#"bearer Realm="https://a.example""#, "Basic"]), Some(token));
        assert_eq!(best(&["Basic"]), Some(Challenge::Basic));
    }

    #[test]
    fn what_we_cannot_meet_is_no_challenge() {
        assert_eq!(best(&["Negotiate"]), None);
        assert_eq!(best(&["Bearer service=\"x\""]), None);
        assert_eq!(best(&["", ",,=", "\"", "Bearer realm="]), None);
        assert_eq!(best(&[]), None);
    }

    #[test]
    fn quotes_may_hold_quotes() {
        assert_eq!(best(&[r#"Bearer realm="a\"b,c""#]), Some(bearer("a\"b,c", None, None)));
    }
}
