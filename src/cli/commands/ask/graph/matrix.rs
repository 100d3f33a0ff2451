//! Targets of a bake file that one matrix makes, folded back into one target with that matrix.
//!
//! What is written is tried on every choice before it is believed: where a text cannot be made of the values, or
//! choices are left out, the targets stay as they are. Knows texts and no images.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

/// A target, by its name, and the choice that it is.
pub struct Member {
    /// Its name in the file.
    pub name: String,
    /// Values by the names that texts use for them: `py`, or `go.version`.
    pub choice: BTreeMap<String, String>,
    /// Its keys.
    pub body: Value,
}

/// Keys that a template may use at once: each is tried with every other.
const KEYS_MAX: usize = 6;
/// Stands for a key in a text that is being made into a template. No name or path has it.
const MARK: char = '\u{1}';

/// One target that makes all of these, or nothing.
pub fn fold(members: &[Member]) -> Option<Value> {
    let axes = axes(members)?;
    let varying = varying(members);
    if members.len() < 2 || varying.is_empty() || varying.len() > KEYS_MAX {
        return None;
    }
    let names: Vec<&str> = members.iter().map(|member| member.name.as_str()).collect();
    let name = template(&names, members, &varying)?;
    let bodies: Vec<&Value> = members.iter().map(|member| &member.body).collect();
    let Value::Object(body) = folded(&bodies, members, &varying)? else { return None };
    let mut target = Map::from_iter([("name".to_owned(), json!(name)), ("matrix".to_owned(), axes)]);
    target.extend(body);
    Some(Value::Object(target))
}

/// The axes with their values, where the members are every choice that they offer.
fn axes(members: &[Member]) -> Option<Value> {
    let mut axes: Map<String, Value> = Map::new();
    let mut choices = 1;
    let all = &members.first()?.choice;
    let mut heads: Vec<&str> = all.keys().map(|key| key.split('.').next().unwrap_or(key)).collect();
    heads.dedup();
    for head in heads {
        let is_name = |text: &str| {
            text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
                && text.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
        };
        let mut values: Vec<Value> = Vec::new();
        for member in members {
            let mut parts = Map::new();
            for (key, value) in &member.choice {
                // A text of the file would be read as a template.
                if value.contains(['$', '%', MARK]) || !key.split('.').all(is_name) {
                    return None;
                }
                match key.split_once('.') {
                    None if key == head => drop(parts.insert(String::new(), json!(value))),
                    Some((of, part)) if of == head => drop(parts.insert(part.to_owned(), json!(value))),
                    _ => {}
                }
            }
            let value = parts.get("").cloned().unwrap_or(Value::Object(parts));
            if !values.contains(&value) {
                values.push(value);
            }
        }
        choices *= values.len();
        axes.insert(head.to_owned(), Value::Array(values));
    }
    let is_each = members.iter().enumerate().all(|(at, member)| {
        member.choice.keys().eq(all.keys()) && members[..at].iter().all(|other| other.choice != member.choice)
    });
    (is_each && choices == members.len()).then_some(Value::Object(axes))
}

/// The keys whose values differ.
fn varying(members: &[Member]) -> Vec<String> {
    let Some(first) = members.first() else { return Vec::new() };
    let differs =
        |key: &&String| members.iter().any(|member| member.choice.get(*key) != first.choice.get(*key));
    first.choice.keys().filter(differs).cloned().collect()
}

/// One value that stands for the values of all members.
fn folded(values: &[&Value], members: &[Member], keys: &[String]) -> Option<Value> {
    let first = *values.first()?;
    if values.iter().all(|value| *value == first) {
        return Some(first.clone());
    }
    match first {
        Value::String(_) => {
            let texts: Option<Vec<&str>> = values.iter().map(|value| value.as_str()).collect();
            template(&texts?, members, keys).map(Value::String)
        }
        Value::Array(items) => {
            let lists: Option<Vec<&Vec<Value>>> = values.iter().map(|value| value.as_array()).collect();
            let lists = lists.filter(|lists| lists.iter().all(|list| list.len() == items.len()))?;
            let at = |at: usize| lists.iter().map(|list| &list[at]).collect::<Vec<_>>();
            (0..items.len())
                .map(|index| folded(&at(index), members, keys))
                .collect::<Option<_>>()
                .map(Value::Array)
        }
        Value::Object(pairs) => {
            let maps: Option<Vec<&Map<String, Value>>> =
                values.iter().map(|value| value.as_object()).collect();
            let maps = maps.filter(|maps| maps.iter().all(|map| map.keys().eq(pairs.keys())))?;
            let of = |key: &String| maps.iter().map(|map| &map[key]).collect::<Vec<_>>();
            let pairs = pairs.keys().map(|key| Some((key.clone(), folded(&of(key), members, keys)?)));
            pairs.collect::<Option<Map<_, _>>>().map(Value::Object)
        }
        _ => None,
    }
}

/// A name as bake takes it: letters, digits, `_` and `-` only.
pub fn target_name(name: &str) -> String {
    name.chars().map(|c| if c.is_ascii_alphanumeric() || c == '_' { c } else { '-' }).collect()
}

/// The way in which a value comes to stand in a text.
#[derive(Clone, Copy)]
enum Form {
    Plain,
    /// As names of targets are: what is no letter, digit or `_` is a `-`.
    Name,
}

impl Form {
    fn of(self, value: &str) -> String {
        match self {
            Self::Plain => value.to_owned(),
            Self::Name => target_name(value),
        }
    }

    fn written(self, key: &str) -> String {
        match self {
            Self::Plain => format!("${{{key}}}"),
            Self::Name => format!("${{regex_replace({key}, \"[^A-Za-z0-9_]\", \"-\")}}"),
        }
    }
}

/// A template that gives the text of every member; the one that uses the fewest keys.
fn template(texts: &[&str], members: &[Member], keys: &[String]) -> Option<String> {
    if texts.iter().any(|text| text.contains(MARK)) {
        return None;
    }
    let mut sets: Vec<u32> = (1..1u32 << keys.len()).collect();
    sets.sort_by_key(|set| set.count_ones());
    sets.into_iter().find_map(|set| {
        let chosen = keys.iter().enumerate().filter(|(at, _)| set & (1 << at) != 0).map(|(_, key)| key);
        of_keys(texts, members, &chosen.collect::<Vec<_>>())
    })
}

/// The template that uses these keys and no others, where it gives every text. It is made of one text; a value may
/// stand in that by chance, so each is tried.
fn of_keys(texts: &[&str], members: &[Member], keys: &[&String]) -> Option<String> {
    texts.iter().zip(members).find_map(|(text, first)| made_of(text, first, (texts, members), keys))
}

fn made_of(
    text: &str,
    first: &Member,
    (texts, members): (&[&str], &[Member]),
    keys: &[&String],
) -> Option<String> {
    let mut forms: Vec<(&String, Form)> = Vec::new();
    for key in keys {
        let value = first.choice.get(*key)?;
        let form = [Form::Plain, Form::Name].into_iter().find(|form| text.contains(&form.of(value)));
        forms.push((key, form.filter(|_| !value.is_empty())?));
    }
    // A value may be a part of another: the longer is meant.
    forms.sort_by_key(|(key, form)| std::cmp::Reverse(form.of(&first.choice[*key]).len()));
    let mark = |at: usize| format!("{MARK}{at}{MARK}");
    let mut marked = text.to_owned();
    for (at, (key, form)) in forms.iter().enumerate() {
        let value = form.of(&first.choice[*key]);
        // Not within a mark.
        let pieces = marked.split(MARK).enumerate();
        let replaced = pieces.map(|(number, piece)| match number % 2 {
            0 => piece.replace(&value, &mark(at)),
            _ => format!("{MARK}{piece}{MARK}"),
        });
        marked = replaced.collect();
    }
    let filled = |with: &dyn Fn(&String, Form) -> String| {
        forms
            .iter()
            .enumerate()
            .fold(marked.clone(), |text, (at, (key, form))| text.replace(&mark(at), &with(key, *form)))
    };
    let fits = texts.iter().zip(members).all(|(text, member)| {
        filled(&|key, form| member.choice.get(key).map(|value| form.of(value)).unwrap_or_default()) == **text
    });
    fits.then(|| filled(&|key, form| form.written(key)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn member(name: &str, choice: &[(&str, &str)], body: Value) -> Member {
        let choice = choice.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
        Member { name: name.into(), choice, body }
    }

    #[test]
    fn every_choice_of_two_axes_is_one_target_again() {
        let of = |php: &str, os: &str| {
            let body = json!({"context": "php", "args": {"PHP": php, "OS": format!("trix:{os}")}, "tags": [format!("r/php:{php}-{os}")]});
            member(&format!("php-{}-{os}", php.replace('.', "-")), &[("php", php), ("os", os)], body)
        };
        let members = [of("8.3", "trix"), of("8.3", "sid"), of("8.4", "trix"), of("8.4", "sid")];
        let target = fold(&members).unwrap();
        assert_eq!(target["matrix"], json!({"os": ["trix", "sid"], "php": ["8.3", "8.4"]}));
        assert_eq!(target["name"], "php-${regex_replace(php, \"[^A-Za-z0-9_]\", \"-\")}-${os}");
        assert_eq!(target["args"], json!({"PHP": "${php}", "OS": "trix:${os}"}));
        assert_eq!(target["tags"], json!(["r/php:${php}-${os}"]));
        assert_eq!(target["context"], "php");
        // One choice is left out: no product.
        assert_eq!(fold(&members[..3]), None);
    }

    #[test]
    fn values_that_belong_together_stay_together() {
        let of = |version: &str, os: &str| {
            let body = json!({"args": {"GO": version, "OS": os}});
            member(&format!("go-{os}"), &[("go.version", version), ("go.os", os)], body)
        };
        let target = fold(&[of("1.24", "sid"), of("1.25", "trixie")]).unwrap();
        assert_eq!(target["matrix"]["go"][1], json!({"os": "trixie", "version": "1.25"}));
        assert_eq!(target["args"], json!({"GO": "${go.version}", "OS": "${go.os}"}));
    }

    #[test]
    fn what_no_template_says_stays_as_it_is() {
        let of =
            |py: &str, extra: &str| member(&format!("py{py}"), &[("py", py)], json!({"args": {"X": extra}}));
        assert_eq!(fold(&[of("1", "one"), of("2", "two")]), None);
        assert_eq!(fold(&[of("1", "1"), of("2", "1")]).unwrap()["args"]["X"], "1", "the same text by chance");
        let target = fold(&[of("1", "same"), of("2", "same")]).unwrap();
        assert_eq!(target["args"]["X"], "same");
        // Keys of one and not of the other.
        let one = member("py1", &[("py", "1")], json!({"labels": {"a": "1"}}));
        let two = member("py2", &[("py", "2")], json!({"labels": {"b": "1"}}));
        assert_eq!(fold(&[one, two]), None);
    }
}
