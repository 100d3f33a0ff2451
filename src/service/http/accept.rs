//! The form of an answer that somebody asked for by `Accept`.

use axum::http::{HeaderMap, header};

/// The form of an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// Plain text.
    Text,
    /// JSON.
    Json,
    /// A page.
    Page,
}

/// The form that somebody asked for; text for whoever takes anything, as programs do.
pub fn form(headers: &HeaderMap) -> Form {
    best(headers.get(header::ACCEPT).and_then(|value| value.to_str().ok()).unwrap_or("*/*"))
}

fn best(accept: &str) -> Form {
    let mut best = (0, Form::Text);
    for range in accept.split(',') {
        let mut parts = range.split(';').map(str::trim);
        let form = match parts.next().unwrap_or_default().to_ascii_lowercase().as_str() {
            "text/raw" | "text/plain" | "text/*" | "*/*" => Form::Text,
            "application/json" | "application/*" => Form::Json,
            "text/html" | "application/xhtml+xml" => Form::Page,
            _ => continue,
        };
        let quality: f32 =
            parts.find_map(|part| part.strip_prefix("q=")).map_or(1.0, |q| q.parse().unwrap_or(0.0));
        // Thousandths: a float is no good for comparing.
        let quality = (quality.clamp(0.0, 1.0) * 1000.0) as u32;
        if quality > best.0 {
            best = (quality, form);
        }
    }
    best.1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_browser_gets_a_page_a_program_text_and_each_what_it_asks_for() {
        let browser = "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,*/*;q=0.8";
        for (accept, wanted) in [
            ("*/*", Form::Text),
            ("text/raw", Form::Text),
            ("", Form::Text),
            ("application/json", Form::Json),
            ("application/json, text/plain, */*", Form::Json),
            ("text/plain;q=0.5, application/json;q=0.9", Form::Json),
            ("TEXT/HTML", Form::Page),
            (browser, Form::Page),
            ("image/png", Form::Text),
            ("application/json;q=nonsense, text/html;q=0.1", Form::Page),
        ] {
            assert_eq!(best(accept), wanted, "{accept}");
        }
    }
}
