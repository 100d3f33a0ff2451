//! `imk schema`: the JSON schema of an Imagefile, from the tables of its keys.
//!
//! An Imagefile is RON. The schema is of the JSON that a converter makes of
//! it: sets and maps become objects, `Env("X")` becomes `{"Env": "X"}`, a bare
//! `Locked` becomes `"Locked"`.

use clap::Args as Group;
use serde_json::{Map, Value, json};

use crate::cli::failure::Failure;
use crate::cli::out;
use crate::syntax::imagefile::kinds::{
    ENGINE_KINDS, IMAGE_KINDS, Kind, NOTICE_KINDS, ON_PUBLISH_KINDS, RUN_KINDS, TEST_KINDS, TOP_KINDS,
    of_step,
};
use crate::syntax::imagefile::{
    ENGINE_KEYS, GIT_KEYS, IMAGE_KEYS, LOG_KEYS, NOTICE_KEYS, ON_PUBLISH_KEYS, RUN_KEYS, SERVICE_KEYS, STEPS,
    TEST_KEYS, TOP_KEYS,
};
use crate::syntax::tag::WHEN_KEYS;

const EXAMPLES: &str = "\
imk schema > imagefile.schema.json   for a tool that reads Imagefiles as JSON";

/// Print the JSON schema of an Imagefile
#[derive(Clone, Debug, Default, Group)]
#[command(after_long_help = EXAMPLES)]
pub struct SchemaArgs {}

pub fn run() -> Result<(), Failure> {
    out::json(&schema());
    Ok(())
}

fn schema() -> Value {
    let mut schema = object(TOP_KEYS, TOP_KINDS);
    schema["$schema"] = json!("https://json-schema.org/draft/2020-12/schema");
    schema["title"] = json!("Imagefile");
    schema["description"] = json!(
        "Imagefile.ron of imk, as JSON: sets in parentheses and maps are objects, Env(\"X\") is {\"Env\": \"X\"}"
    );
    schema["$defs"] = json!({ "image": object(IMAGE_KEYS, IMAGE_KINDS), "run": object(RUN_KEYS, RUN_KINDS) });
    schema
}

fn object(keys: &[(&str, &str)], kinds: &[(&str, Kind)]) -> Value {
    let meaning = |key: &str| keys.iter().find(|(name, _)| *name == key).map(|(_, meaning)| *meaning);
    let properties: Map<String, Value> = kinds
        .iter()
        .map(|(key, kind)| {
            let mut value = shape(*kind);
            value["description"] = json!(meaning(key));
            ((*key).to_owned(), value)
        })
        .collect();
    json!({"type": "object", "properties": properties, "additionalProperties": false})
}

fn shape(kind: Kind) -> Value {
    let text = || json!({"type": "string"});
    let texts = || json!({"type": "array", "items": text()});
    let image = || json!({"$ref": "#/$defs/image"});
    let by_name = |value: Value| json!({"type": "object", "additionalProperties": value});
    // How RON's `Name("value")` looks in JSON.
    let named = |name: &str| json!({"type": "object", "properties": {name: text()}, "required": [name], "additionalProperties": false});
    let keys = |keys: &[(&str, &str)], value: &dyn Fn() -> Value| {
        let properties: Map<String, Value> = keys
            .iter()
            .map(|(key, meaning)| {
                let mut value = value();
                value["description"] = json!(meaning);
                ((*key).to_owned(), value)
            })
            .collect();
        json!({"type": "object", "properties": properties, "additionalProperties": false})
    };
    let source = || {
        let git = json!({"type": "object", "properties": {"Git": keys(GIT_KEYS, &text)}, "required": ["Git"], "additionalProperties": false});
        json!({"oneOf": [text(), git]})
    };
    let when = |rule: &[(&str, &str)]| {
        let keys = keys(rule, &|| json!({"oneOf": [text(), texts()]}));
        json!({"type": "object", "properties": {"When": keys}, "required": ["When"], "additionalProperties": false})
    };
    match kind {
        Kind::Text => text(),
        Kind::Texts => texts(),
        Kind::TextOrTexts => json!({"oneOf": [text(), texts()]}),
        Kind::Source => source(),
        Kind::SourceByName => by_name(source()),
        Kind::Tags => json!({"type": "array", "items": {"oneOf": [text(), when(WHEN_KEYS)]}}),
        Kind::Gates => json!({"type": "array", "items": when(&WHEN_KEYS[..WHEN_KEYS.len() - 1])}),
        Kind::TextByName => by_name(text()),
        Kind::TextsByName => by_name(texts()),
        Kind::Matrix => by_name(json!({"type": "array", "items": {"oneOf": [text(), by_name(text())]}})),
        Kind::Exclude => json!({"type": "array", "items": by_name(text())}),
        Kind::Secrets => by_name(json!({"oneOf": [named("Env"), named("File")]})),
        Kind::Policy => json!({"oneOf": [{"enum": ["Locked", "Float"]}, named("Every")]}),
        Kind::Engines => by_name(object(ENGINE_KEYS, ENGINE_KINDS)),
        Kind::Number => json!({"type": "integer", "minimum": 1}),
        Kind::Flag => json!({"type": "boolean"}),
        Kind::Image => image(),
        Kind::ImageByName => by_name(image()),
        Kind::Run => json!({"$ref": "#/$defs/run"}),
        Kind::RunByName => by_name(json!({"$ref": "#/$defs/run"})),
        Kind::Integer => json!({"type": "integer"}),
        Kind::Ports => {
            let port = json!({"type": "integer", "minimum": 1, "maximum": 65535});
            json!({"oneOf": [port, {"type": "array", "items": port}]})
        }
        Kind::Services => by_name(object(
            SERVICE_KEYS,
            &[
                ("image", Kind::Text),
                ("env", Kind::TextByName),
                ("command", Kind::Texts),
                ("ready", Kind::Number),
            ],
        )),
        Kind::Steps => json!({"type": "array", "items": {"oneOf": steps()}}),
        Kind::Tests => by_name(object(TEST_KEYS, TEST_KINDS)),
        Kind::OnPublish => object(ON_PUBLISH_KEYS, ON_PUBLISH_KINDS),
        Kind::Notices => by_name(object(NOTICE_KEYS, NOTICE_KINDS)),
        Kind::Log => object(LOG_KEYS, &[("size", Kind::Text), ("count", Kind::Number)]),
    }
}

/// How `Run(command: […])` looks in JSON, for each step; one without keys is its name.
fn steps() -> Vec<Value> {
    let step = |(name, keys): &(&str, &[(&str, &str)])| {
        if keys.is_empty() {
            return json!({"const": name});
        }
        let kinds: Vec<(&str, Kind)> = keys.iter().map(|(key, _)| (*key, of_step(key))).collect();
        let keys = object(keys, &kinds);
        json!({"type": "object", "properties": {*name: keys}, "required": [name], "additionalProperties": false})
    };
    STEPS.iter().map(step).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_schema_has_the_keys_and_no_others() {
        let schema = schema();
        for (properties, keys) in [
            (&schema["properties"], TOP_KEYS),
            (&schema["$defs"]["image"]["properties"], IMAGE_KEYS),
            (&schema["$defs"]["run"]["properties"], RUN_KEYS),
        ] {
            let properties = properties.as_object().unwrap();
            let names: Vec<&str> = properties.keys().map(String::as_str).collect();
            assert_eq!(names, keys.iter().map(|(key, _)| *key).collect::<Vec<_>>());
            for (key, meaning) in keys {
                assert_eq!(properties[*key]["description"], *meaning, "{key}");
            }
        }
    }

    #[test]
    fn ways_to_say_a_thing_are_told_apart() {
        insta::assert_snapshot!(shape(Kind::Policy), @r#"{"oneOf":[{"enum":["Locked","Float"]},{"type":"object","properties":{"Every":{"type":"string"}},"required":["Every"],"additionalProperties":false}]}"#);
        insta::assert_snapshot!(shape(Kind::TextsByName), @r#"{"type":"object","additionalProperties":{"type":"array","items":{"type":"string"}}}"#);
    }
}
