//! The images of a bake matrix as one entry with `matrix` again.
//!
//! Looks at what `write` says of each image, and finds texts that come to the same with the values of a choice
//! filled in. Knows no key of an Imagefile: `read_back` compares what both forms mean.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use super::quoted::quoted;

/// Steps that the search for one text may take.
const MOST_STEPS: usize = 20_000;

/// Where an image came from a matrix: which one, by the place of its block, and the values that it was made with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Member {
    pub block: usize,
    /// By axis, in the order of the matrix.
    pub choice: Vec<(String, AxisValue)>,
}

/// A value of an axis.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum AxisValue {
    Text(String),
    Set(Vec<(String, String)>),
}

impl AxisValue {
    /// Its texts, by the names under which an image can use them.
    fn texts<'v>(&'v self, axis: &'v str) -> Vec<(String, &'v str)> {
        match self {
            Self::Text(text) => vec![(axis.to_owned(), text)],
            Self::Set(pairs) => {
                pairs.iter().map(|(key, text)| (format!("{axis}.{key}"), text.as_str())).collect()
            }
        }
    }

    fn written(&self) -> String {
        match self {
            Self::Text(text) => quoted(text),
            Self::Set(pairs) => {
                let pairs = pairs.iter().map(|(key, text)| format!("{}: {}", quoted(key), quoted(text)));
                format!("{{{}}}", pairs.collect::<Vec<_>>().join(", "))
            }
        }
    }
}

/// An image as it is written: its name, and its keys as they are written.
pub(super) type Said = (String, Vec<String>);

/// One entry for all images of a matrix; nothing where no such entry says what all of them say.
pub(super) fn folded(images: &[(&Member, Said)]) -> Option<Said> {
    let (first, (_, keys)) = images.first()?;
    if images.len() < 2 || images.iter().any(|(_, (_, other))| other.len() != keys.len()) {
        return None;
    }
    let axes = axes(images, first)?;
    let values: Vec<BTreeMap<String, &str>> = images
        .iter()
        .map(|(member, _)| member.choice.iter().flat_map(|(axis, value)| value.texts(axis)).collect())
        .collect();
    // A value must be able to stand in a text as it is.
    let plain = |text: &&str| !text.contains(['"', '\\', '{', '}']) && !text.chars().any(char::is_control);
    if !values.iter().flat_map(BTreeMap::values).all(plain) {
        return None;
    }
    let one = |of: &dyn Fn(&Said) -> &str| {
        Search::of(images.iter().map(|(_, said)| of(said)).collect(), &values).found()
    };
    let name = one(&|(name, _)| name)?;
    let mut said = vec![matrix(&axes)];
    said.extend(exclude(images, &axes));
    for at in 0..keys.len() {
        said.push(one(&|(_, keys)| keys[at].as_str())?);
    }
    Some((name, said))
}

type Axes<'m> = Vec<(&'m str, Vec<&'m AxisValue>)>;

/// The axes, each with its values in the order in which they are met.
fn axes<'m>(images: &[(&'m Member, Said)], first: &'m Member) -> Option<Axes<'m>> {
    let mut axes: Axes<'m> = first.choice.iter().map(|(axis, _)| (axis.as_str(), Vec::new())).collect();
    for (member, _) in images {
        if member.choice.len() != axes.len() {
            return None;
        }
        for ((axis, value), (known, values)) in member.choice.iter().zip(&mut axes) {
            if axis != known {
                return None;
            }
            if !values.contains(&value) {
                values.push(value);
            }
        }
    }
    Some(axes)
}

fn matrix(axes: &Axes<'_>) -> String {
    let axes = axes.iter().map(|(axis, values)| {
        let values: Vec<String> = values.iter().map(|value| value.written()).collect();
        format!("{}: [{}]", quoted(axis), values.join(", "))
    });
    format!("matrix: {{{}}}", axes.collect::<Vec<_>>().join(", "))
}

/// The choices that no image was made with: those of images that were not carried over.
fn exclude(images: &[(&Member, Said)], axes: &Axes<'_>) -> Option<String> {
    let made: BTreeSet<Vec<&AxisValue>> =
        images.iter().map(|(member, _)| member.choice.iter().map(|(_, value)| value).collect()).collect();
    let mut all: Vec<Vec<&AxisValue>> = vec![Vec::new()];
    for (_, values) in axes {
        let longer =
            |choice: &Vec<_>| values.iter().map(|value| [choice.as_slice(), &[*value]].concat()).collect();
        all = all.iter().flat_map(|choice| -> Vec<Vec<&AxisValue>> { longer(choice) }).collect();
    }
    let lacking = all.into_iter().filter(|choice| !made.contains(choice)).map(|choice| {
        let texts = choice.iter().zip(axes).flat_map(|(value, (axis, _))| value.texts(axis));
        let texts = texts.map(|(name, text)| format!("{}: {}", quoted(&name), quoted(text)));
        format!("{{{}}}", texts.collect::<Vec<_>>().join(", "))
    });
    let lacking: Vec<String> = lacking.collect();
    (!lacking.is_empty()).then(|| format!("exclude: [{}]", lacking.join(", ")))
}

/// The search for a text with names in braces that comes to each of these texts with each choice's values.
struct Search<'t> {
    texts: Vec<&'t str>,
    values: &'t [BTreeMap<String, &'t str>],
    /// Names whose values differ; for all others the text itself says as much.
    names: Vec<&'t String>,
    /// Places from which nothing was found.
    dead: HashSet<Vec<usize>>,
    steps: usize,
}

impl<'t> Search<'t> {
    fn of(texts: Vec<&'t str>, values: &'t [BTreeMap<String, &'t str>]) -> Self {
        let names = values.first().into_iter().flat_map(BTreeMap::keys);
        let differ = |name: &&String| {
            let first = values.first().and_then(|choice| choice.get(*name));
            values.iter().all(|choice| choice.contains_key(*name))
                && values.iter().any(|choice| choice.get(*name) != first)
        };
        Self { texts, values, names: names.filter(differ).collect(), dead: HashSet::new(), steps: 0 }
    }

    fn found(mut self) -> Option<String> {
        let all = self.texts.clone();
        if all.iter().all(|text| *text == all[0]) {
            return Some(all[0].to_owned());
        }
        let mut way = Vec::new();
        self.from(vec![0; all.len()], &mut way).then(|| way.into_iter().rev().collect())
    }

    /// Finds the rest of the text; `way` has its pieces from the end on.
    fn from(&mut self, at: Vec<usize>, way: &mut Vec<String>) -> bool {
        self.steps += 1;
        if at.iter().zip(&self.texts).all(|(at, text)| *at == text.len()) {
            return true;
        }
        if self.steps > MOST_STEPS || self.dead.contains(&at) {
            return false;
        }
        for name in self.names.clone() {
            let values = self.values.iter().map(|choice| choice.get(name).copied().unwrap_or_default());
            let next: Option<Vec<usize>> = at
                .iter()
                .zip(&self.texts)
                .zip(values)
                .map(|((at, text), value)| text[*at..].starts_with(value).then(|| at + value.len()))
                .collect();
            if let Some(next) = next.filter(|next| *next != at)
                && self.from(next, way)
            {
                way.push(format!("{{{name}}}"));
                return true;
            }
        }
        // As far as all agree, up to where the next value may begin.
        let same = self.same(&at);
        if same > 0 && self.from(at.iter().map(|at| at + same).collect(), way) {
            way.push(self.texts[0][at[0]..at[0] + same].to_owned());
            return true;
        }
        self.dead.insert(at);
        false
    }

    /// Bytes of the next character, if it is the same in all texts.
    fn same(&self, at: &[usize]) -> usize {
        let mut next = at.iter().zip(&self.texts).map(|(at, text)| text[*at..].chars().next());
        match next.next().flatten() {
            Some(first) if next.all(|other| other == Some(first)) => first.len_utf8(),
            _ => 0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(texts: &[&str], values: &[&[(&str, &str)]]) -> Option<String> {
        let choice = |pairs: &&[(&'static str, &'static str)]| {
            pairs.iter().map(|(name, value)| ((*name).to_owned(), *value)).collect()
        };
        let values: Vec<Vec<(&'static str, &'static str)>> = values
            .iter()
            .map(|pairs| {
                pairs.iter().map(|(a, b)| (&*a.to_string().leak(), &*b.to_string().leak())).collect()
            })
            .collect();
        let values: Vec<BTreeMap<String, &str>> =
            values.iter().map(|pairs| choice(&pairs.as_slice())).collect();
        Search::of(texts.to_vec(), &values).found()
    }

    #[test]
    fn a_text_is_found_that_comes_to_all_of_them() {
        let py: [&[(&str, &str)]; 2] = [&[("py", "3.12"), ("os", "a")], &[("py", "3.13"), ("os", "b")]];
        assert_eq!(found(&["x 3.12", "x 3.13"], &py).as_deref(), Some("x {py}"));
        assert_eq!(found(&["3.12-a-3.12", "3.13-b-3.13"], &py).as_deref(), Some("{py}-{os}-{py}"));
        assert_eq!(found(&["same", "same"], &py).as_deref(), Some("same"));
        // No value says `3-12`.
        assert_eq!(found(&["3-12", "3-13"], &py), None);
        // The first way leads nowhere, the second is there.
        let two: [&[(&str, &str)]; 2] = [&[("a", "x"), ("b", "xy")], &[("a", "z"), ("b", "zw")]];
        assert_eq!(found(&["xy!", "zw!"], &two).as_deref(), Some("{b}!"));
        // A value that is empty.
        let empty: [&[(&str, &str)]; 2] = [&[("s", "")], &[("s", "-slim")]];
        assert_eq!(found(&["1", "1-slim"], &empty).as_deref(), Some("1{s}"));
        // Texts that would take for ever by trying everything.
        let (long, other) = ("a".repeat(5000), format!("{}b", "a".repeat(4999)));
        let ones: [&[(&str, &str)]; 2] = [&[("v", "a"), ("w", "aa")], &[("v", "a"), ("w", "aaa")]];
        assert_eq!(found(&[&long, &other], &ones), None);
    }
}
