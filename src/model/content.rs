//! Content of an image, whoever made it and whenever: its layers and its settings.
//!
//! Two images with the same text here are the same to everyone who builds on
//! them. An engine's answer and a configuration read from a registry must give
//! the same text, so what is empty is left out, however it is written. Asks nobody.

use serde_json::{Map, Value, json};

use super::own_bases;

/// The label that holds an image's action key. It says how the image came to be
/// and not what it is: an image that is built again to the same is the same.
pub const KEY_LABEL: &str = "imk.key";

/// The settings of the image specification 1.1 and docker's additions to it. What an engine tells
/// beside these belongs to containers.
const SETTINGS: &[&str] = &[
    "ArgsEscaped",
    "Cmd",
    "Entrypoint",
    "Env",
    "ExposedPorts",
    "Healthcheck",
    "Labels",
    "OnBuild",
    "Shell",
    "StopSignal",
    "StopTimeout",
    "User",
    "Volumes",
    "WorkingDir",
];

/// The text of an image of these layers (their diff ids, in order) and this `config`, an
/// object as in an image's configuration.
pub fn text(layers: &[String], config: &Value) -> String {
    let mut settings = Map::new();
    for setting in SETTINGS {
        let mut value = config.get(*setting).cloned().unwrap_or_default();
        if *setting == "Labels"
            && let Value::Object(labels) = &mut value
        {
            labels.shift_remove(KEY_LABEL);
            labels.shift_remove(own_bases::LABEL);
        }
        if let Some(value) = tidied(value) {
            settings.insert((*setting).to_owned(), value);
        }
    }
    json!({ "layers": layers, "config": settings }).to_string()
}

/// The same for the bytes of a configuration as registries keep it; `None` when it is not one.
pub fn of_configuration(bytes: &[u8]) -> Option<String> {
    let image: Value = serde_json::from_slice(bytes).ok()?;
    let layers = image["rootfs"]["diff_ids"].as_array()?;
    let layers: Option<Vec<String>> = layers.iter().map(|id| id.as_str().map(str::to_owned)).collect();
    Some(text(&layers?, &image["config"]))
}

/// With its keys in order: a map must not decide whether two images are the same.
/// `None` for what is empty.
fn tidied(value: Value) -> Option<Value> {
    match value {
        Value::Null | Value::Bool(false) => None,
        Value::String(text) if text.is_empty() => None,
        Value::Array(values) if values.is_empty() => None,
        Value::Object(map) => {
            // The value of a port or a volume is an empty object, and its key is what counts.
            let mut pairs: Vec<_> = map
                .into_iter()
                .map(|(key, value)| (key, tidied(value).unwrap_or_else(|| json!({}))))
                .collect();
            pairs.sort_by(|a, b| a.0.cmp(&b.0));
            (!pairs.is_empty()).then(|| Value::Object(pairs.into_iter().collect()))
        }
        other => Some(other),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_engines_answer_and_a_registrys_configuration_are_one_image() {
        let engine = json!({
            "Hostname": "", "AttachStdin": false, "Image": "sha256:1", "Env": ["A=1"], "Cmd": ["x"], "Entrypoint": null,
            "OnBuild": null, "User": "", "Labels": {"b": "2", "a": "1", "imk.key": "x"},
            "ExposedPorts": {"80/tcp": {}},
        });
        let registry = br#"{"created":"2026-01-01T00:00:00Z","architecture":"amd64",
            "config":{"Cmd":["x"],"ExposedPorts":{"80/tcp":{}},"Env":["A=1"],"Labels":{"a":"1","imk.key":"y","b":"2"},"OnBuild":[]},
            "rootfs":{"type":"layers","diff_ids":["sha256:l"]}}"#;
        assert_eq!(Some(text(&["sha256:l".into()], &engine)), of_configuration(registry));
    }

    #[test]
    fn another_layer_or_setting_is_another_image() {
        let of = |layer: &str, config: Value| text(&[layer.to_owned()], &config);
        let base = of("a", json!({"Cmd": ["x"]}));
        assert_ne!(base, of("b", json!({"Cmd": ["x"]})));
        assert_ne!(base, of("a", json!({"Cmd": ["y"]})));
        assert_ne!(base, of("a", json!({"Cmd": ["x"], "User": "1"})));
        assert_eq!(base, of("a", json!({"Cmd": ["x"], "User": ""})));
        assert_ne!(
            of("a", json!({"Env": ["A=", "B=1"]})),
            of("a", json!({"Env": ["B=1", "A="]})),
            "order is kept"
        );
    }

    #[test]
    fn what_is_no_configuration_is_none() {
        for bytes in [&b"{}"[..], b"no", br#"{"rootfs":{"diff_ids":[1]}}"#] {
            assert_eq!(of_configuration(bytes), None);
        }
    }
}
