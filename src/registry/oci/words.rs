//! A registry's own words for why it refuses, taken out of its answer.

use reqwest::StatusCode;
use serde_json::Value;

/// More than this tells nobody more.
const MOST: usize = 300;

/// The words of an answer, in one line; the status where it has none.
pub(super) fn of(status: StatusCode, body: &[u8]) -> String {
    let said = match serde_json::from_slice::<Value>(body) {
        Ok(json) => from_json(&json),
        // A page for a browser says nothing to a person at a terminal.
        Err(_) => Some(String::from_utf8_lossy(body).trim().to_owned()).filter(|text| !text.starts_with('<')),
    };
    let line = said.unwrap_or_default().split_whitespace().collect::<Vec<_>>().join(" ");
    let line: String = line.chars().filter(|c| !c.is_control()).take(MOST).collect();
    if line.is_empty() { format!("HTTP {status}") } else { line }
}

/// `{"errors": [{"code", "message"}]}` as the specification has it, or what token servers and proxies write.
fn from_json(json: &Value) -> Option<String> {
    let text =
        |value: &Value, name: &str| Some(value.get(name)?.as_str()?.to_owned()).filter(|it| !it.is_empty());
    if let Some(errors) = json.get("errors").and_then(Value::as_array) {
        let sentence = |error: &Value| text(error, "message").or_else(|| text(error, "code"));
        let all: Vec<String> = errors.iter().filter_map(sentence).collect();
        return Some(all.join("; "));
    }
    ["message", "details", "error_description", "error"].iter().find_map(|name| text(json, name))
}

/// Whether a 404 speaks of the thing asked for: a registry's `…_UNKNOWN`, or no words at all.
/// Any other page is from something that is no registry, and no word about what a registry has.
pub(super) fn is_absence(body: &[u8]) -> bool {
    if body.is_empty() {
        return true;
    }
    codes(body).iter().any(|code| code.ends_with("_UNKNOWN") || code == "NOT_FOUND")
}

/// Whether a manifest is refused because something that it names is not there.
pub(super) fn lacks_a_blob(body: &[u8]) -> bool {
    codes(body).iter().any(|code| matches!(code.as_str(), "BLOB_UNKNOWN" | "MANIFEST_BLOB_UNKNOWN"))
}

/// The codes of an answer's errors, in capitals.
fn codes(body: &[u8]) -> Vec<String> {
    let json: Value = serde_json::from_slice(body).unwrap_or_default();
    let errors = json.get("errors").and_then(Value::as_array).into_iter().flatten();
    errors.filter_map(|error| Some(error.get("code")?.as_str()?.to_uppercase())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_words_of_a_registry_are_shown_in_one_line() {
        let say = |body: &str| of(StatusCode::BAD_REQUEST, body.as_bytes());
        assert_eq!(
            say(r#"{"errors":[{"code":"X","message":"tag\n immutable"},{"code":"Y"}]}"#),
            "tag immutable; Y"
        );
        assert_eq!(say(r#"{"details":"incorrect username or password"}"#), "incorrect username or password");
        assert_eq!(say("plain words\n"), "plain words");
        assert_eq!(say("<html><body>no</body></html>"), "HTTP 400 Bad Request");
        assert_eq!(say(""), "HTTP 400 Bad Request");
        assert_eq!(say("\u{1b}[31mred"), "[31mred");
    }

    #[test]
    fn a_page_that_is_missing_is_no_missing_image() {
        assert!(is_absence(br#"{"errors":[{"code":"MANIFEST_UNKNOWN"}]}"#));
        assert!(is_absence(br#"{"errors":[{"code":"NAME_UNKNOWN","detail":{}}]}"#));
        assert!(is_absence(b""));
        assert!(!is_absence(b"<html>404</html>"));
        assert!(!is_absence(br#"{"errors":[{"code":"DENIED"}]}"#));
    }

    #[test]
    fn a_manifest_may_be_refused_for_what_it_names() {
        assert!(lacks_a_blob(br#"{"errors":[{"code":"DIGEST_INVALID"},{"code":"BLOB_UNKNOWN"}]}"#));
        assert!(lacks_a_blob(br#"{"errors":[{"code":"manifest_blob_unknown"}]}"#));
        assert!(!lacks_a_blob(br#"{"errors":[{"code":"MANIFEST_INVALID"}]}"#));
        assert!(!lacks_a_blob(b""));
    }
}
