//! The place of an error in the Dockerfile, as BuildKit's errors carry it: `errdefs.Source` among a status's details.
//!
//! Details are JSON in a protobuf frame. What is not understood is passed over.

use bollard_buildkit_proto::google::rpc::Status;
use prost::Message;
use serde::Deserialize;

/// Ends the name of the detail's type.
const SOURCE: &str = "errdefs.Source+json";

#[derive(Deserialize)]
struct Source {
    #[serde(default)]
    ranges: Vec<Range>,
}

#[derive(Deserialize)]
struct Range {
    start: Option<Position>,
    end: Option<Position>,
}

#[derive(Deserialize)]
struct Position {
    #[serde(default)]
    line: usize,
}

/// The first and last line of the first place that is told, from 1.
pub(super) fn lines(details: &[u8]) -> Option<(usize, usize)> {
    let status = Status::decode(details).ok()?;
    let sources = status.details.iter().filter(|detail| detail.type_url.ends_with(SOURCE));
    let mut sources = sources.filter_map(|detail| serde_json::from_slice::<Source>(&detail.value).ok());
    sources.find_map(|source| {
        let line = |position: &Option<Position>| position.as_ref().map(|it| it.line).filter(|line| *line > 0);
        let starts = source.ranges.iter().filter_map(|range| line(&range.start));
        let ends = source.ranges.iter().filter_map(|range| line(&range.end).or(line(&range.start)));
        let (first, last) = (starts.min()?, ends.max()?);
        Some((first, last.max(first)))
    })
}

#[cfg(test)]
mod tests {
    use bollard_buildkit_proto::google::protobuf::Any;

    use super::*;

    fn told(details: &[(&str, &str)]) -> Option<(usize, usize)> {
        let detail = |(kind, value): &(&str, &str)| Any {
            type_url: format!("github.com/moby/buildkit/{kind}"),
            value: value.as_bytes().to_vec(),
        };
        let status = Status { code: 2, message: "no".into(), details: details.iter().map(detail).collect() };
        lines(&status.encode_to_vec())
    }

    #[test]
    fn an_error_says_which_lines_it_is_about() {
        let source = r#"{"info":{"filename":"Dockerfile","data":"RlJPTQ=="},"ranges":[{"start":{"line":3},"end":{"line":5}}]}"#;
        assert_eq!(told(&[("stack.Stack+json", "{}"), (SOURCE, source)]), Some((3, 5)));
        assert_eq!(told(&[(SOURCE, r#"{"ranges":[{"start":{"line":4}}]}"#)]), Some((4, 4)));
        for nothing in
            [r#"{"ranges":[]}"#, r#"{"ranges":[{}]}"#, r#"{"ranges":[{"start":{"line":0}}]}"#, "no"]
        {
            assert_eq!(told(&[(SOURCE, nothing)]), None, "{nothing}");
        }
        assert_eq!(lines(b"\xff\xff"), None);
    }
}
