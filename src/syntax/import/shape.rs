//! From drafts to what stands in the Imagefile: images, templates, groups, variables.
//!
//! What images are called is for `naming`. Reads no format and writes no RON.

use std::collections::{BTreeMap, BTreeSet};

use super::draft::{Draft, Drafts, Image, fill, names_in};
use super::naming::Naming;
use super::{Note, NoteKind, contexts, place};
use crate::syntax::error::Span;

/// An Imagefile to be written.
pub(super) struct Shaped {
    pub prefix: String,
    pub vars: BTreeMap<String, String>,
    pub default: Vec<String>,
    pub groups: Vec<(String, Vec<String>)>,
    pub templates: Vec<Draft>,
    pub images: Vec<Image>,
    pub notes: Vec<Note>,
}

impl Shaped {
    /// Visits every written text.
    pub fn each_text(&mut self, visit: &mut dyn FnMut(&mut String)) {
        visit(&mut self.prefix);
        self.images.iter_mut().flat_map(|image| image.contexts.values_mut()).for_each(&mut *visit);
        let images = self.images.iter_mut();
        for (draft, tags) in images
            .map(|image| (&mut image.draft, &mut image.tags))
            .map(|(draft, tags)| (draft, Some(tags)))
            .chain(self.templates.iter_mut().map(|draft| (draft, None)))
        {
            tags.into_iter().flatten().for_each(&mut *visit);
            visit(&mut draft.context);
            visit(&mut draft.dockerfile);
            draft.args.values_mut().chain(draft.labels.values_mut()).for_each(&mut *visit);
            let lists = draft.cache_from.iter_mut().chain(&mut draft.cache_to).chain(&mut draft.platforms);
            lists.for_each(&mut *visit);
            let optional = [&mut draft.target, &mut draft.network, &mut draft.description];
            optional.into_iter().flatten().for_each(&mut *visit);
        }
    }
}

pub(super) fn shape(drafts: Drafts) -> Shaped {
    let Drafts { vars, mut templates, mut images, mut groups, default, default_span, mut notes } = drafts;
    images.retain(|image| stays_inside(image, &vars, &mut notes));
    // A group of one image under its own name says nothing.
    groups.retain(|group| group.members != [group.name.as_str()]);
    let naming = Naming::of(&images, &vars, &mut notes);
    let Naming { prefix, names, .. } = &naming;
    let mut shaped: Vec<Image> = Vec::new();
    for (draft, name) in images.into_iter().zip(names) {
        let tags = naming.tags(&draft, name, &vars, &mut notes);
        shaped.push(Image { name: name.clone(), draft, tags, any_tag: false, contexts: BTreeMap::new() });
    }
    contexts::settle(&mut shaped, prefix, &vars, &mut notes);
    let by_source: BTreeMap<String, String> =
        shaped.iter().map(|image| (image.draft.name.clone(), image.name.clone())).collect();
    let group_names: BTreeMap<String, String> = groups
        .iter()
        .map(|group| {
            let clashes = names.contains(&group.name);
            (group.name.clone(), if clashes { format!("{}-all", group.name) } else { group.name.clone() })
        })
        .collect();
    let is_template = |member: &str| templates.iter().any(|template| template.name == member);
    let mut members = |members: Vec<String>, span: Span| -> Vec<String> {
        let mut known = Vec::new();
        for member in members {
            let found = by_source.get(&member).or_else(|| group_names.get(&member)).cloned();
            match found {
                Some(found) if !known.contains(&found) => known.push(found),
                Some(_) => {}
                None if is_template(&member) => {}
                None => {
                    let text = format!("`{member}` in a group: no such image was carried over");
                    notes.push(Note { span, kind: NoteKind::Lost, text });
                }
            }
        }
        known
    };
    let default = members(default, default_span);
    let mut shaped_groups = Vec::new();
    for group in groups {
        let name = group_names[&group.name].clone();
        let members = members(group.members, group.span);
        if !members.is_empty() && [&name] != members.iter().collect::<Vec<_>>().as_slice() {
            shaped_groups.push((name, members));
        }
    }
    for (old, new) in group_names.iter().filter(|(old, new)| old != new) {
        let text = format!("the group `{old}` is named `{new}`: an image has its name");
        notes.push(Note { span: Span::default(), kind: NoteKind::Changed, text });
    }
    notes.extend(unused(&shaped, &templates));
    let everything = default.len() == shaped.len() && default.iter().all(|name| names.contains(name));
    for image in &mut shaped {
        take_from_templates(&mut image.draft, &templates);
    }
    templates.retain(|template| shaped.iter().any(|image| image.draft.like.contains(&template.name)));
    for template in &mut templates {
        // A template says all that it inherits itself.
        template.like.clear();
    }
    let used = used_vars(prefix, &shaped, &templates);
    let vars = vars.into_iter().filter(|(name, _)| used.contains(name)).collect();
    let default = if everything { Vec::new() } else { default };
    let prefix = naming.prefix;
    Shaped { prefix, vars, default, groups: shaped_groups, templates, images: shaped, notes }
}

/// A note for each template that says something and that no image takes anything from.
fn unused(shaped: &[Image], templates: &[Draft]) -> Vec<Note> {
    let inherited: BTreeSet<&String> =
        shaped.iter().map(|image| &image.draft).chain(templates).flat_map(|draft| &draft.like).collect();
    let unused = |template: &&Draft| !inherited.contains(&template.name) && says_something(template);
    let note = |template: &Draft| {
        let text = format!("the target `{}`: no image takes anything from it", template.name);
        Note { span: template.span, kind: NoteKind::Lost, text }
    };
    templates.iter().filter(unused).map(note).collect()
}

/// Whether an image's paths stay in the repository with their variables filled in; else there is a note. What a
/// variable holds is known only when the whole source was read.
fn stays_inside(image: &Draft, vars: &BTreeMap<String, String>, notes: &mut Vec<Note>) -> bool {
    if image.from_git {
        return true;
    }
    let outside = [("context", &image.context), ("Dockerfile", &image.dockerfile)]
        .into_iter()
        .find_map(|(what, written)| Some((what, place::leads_out(&fill(written, vars))?)));
    if let Some((what, why)) = &outside {
        let text = format!("the image `{}`: its {what} {why}", image.name);
        notes.push(Note { span: image.span, kind: NoteKind::Lost, text });
    }
    outside.is_none()
}

/// Leaves to an image's templates what they say as it does. An image that would
/// get more from them than it had has none.
fn take_from_templates(draft: &mut Draft, templates: &[Draft]) {
    let mut brought = Draft::default();
    for template in draft.like.iter().filter_map(|name| templates.iter().find(|t| t.name == *name)) {
        brought.args.extend(template.args.clone());
        brought.labels.extend(template.labels.clone());
        brought.secrets.extend(template.secrets.clone());
        brought.target = template.target.clone().or(brought.target);
        brought.network = template.network.clone().or(brought.network);
        for (list, own) in [
            (&template.cache_from, &mut brought.cache_from),
            (&template.cache_to, &mut brought.cache_to),
            (&template.platforms, &mut brought.platforms),
        ] {
            if !list.is_empty() {
                own.clone_from(list);
            }
        }
    }
    let more = brought.args.keys().any(|key| !draft.args.contains_key(key))
        || brought.labels.keys().any(|key| !draft.labels.contains_key(key))
        || brought.secrets.keys().any(|key| !draft.secrets.contains_key(key))
        || (brought.target.is_some() && draft.target.is_none())
        || (!brought.platforms.is_empty() && draft.platforms.is_empty())
        || (brought.network.is_some() && draft.network.is_none())
        || (!brought.cache_from.is_empty() && draft.cache_from.is_empty())
        || (!brought.cache_to.is_empty() && draft.cache_to.is_empty());
    let nothing = brought.args.is_empty()
        && brought.labels.is_empty()
        && brought.secrets.is_empty()
        && brought.target.is_none()
        && brought.platforms.is_empty()
        && brought.network.is_none()
        && brought.cache_from.is_empty()
        && brought.cache_to.is_empty();
    if more || nothing {
        draft.like.clear();
        return;
    }
    draft.args.retain(|key, value| brought.args.get(key) != Some(value));
    draft.labels.retain(|key, value| brought.labels.get(key) != Some(value));
    for (own, theirs) in [
        (&mut draft.cache_from, &brought.cache_from),
        (&mut draft.cache_to, &brought.cache_to),
        (&mut draft.platforms, &brought.platforms),
    ] {
        if own == theirs {
            own.clear();
        }
    }
    draft.secrets.retain(|key, value| brought.secrets.get(key) != Some(value));
    let scalars = [(&mut draft.target, &brought.target), (&mut draft.network, &brought.network)];
    for (own, theirs) in scalars {
        if *own == *theirs {
            *own = None;
        }
    }
}

/// Whether a template has anything to give.
fn says_something(template: &Draft) -> bool {
    let optional = [&template.target, &template.network];
    !(template.args.is_empty()
        && template.platforms.is_empty()
        && template.labels.is_empty()
        && template.secrets.is_empty()
        && template.cache_from.is_empty()
        && template.cache_to.is_empty()
        && optional.into_iter().all(Option::is_none))
}

fn used_vars(prefix: &str, images: &[Image], templates: &[Draft]) -> BTreeSet<String> {
    let mut texts: Vec<&str> = vec![prefix];
    for draft in images.iter().map(|image| &image.draft).chain(templates) {
        texts.extend([draft.context.as_str(), draft.dockerfile.as_str()]);
        let lists = draft.cache_from.iter().chain(&draft.cache_to).chain(&draft.platforms);
        texts.extend(lists.map(String::as_str));
        texts.extend(draft.args.values().chain(draft.labels.values()).map(String::as_str));
        let optional = [&draft.target, &draft.network, &draft.description];
        texts.extend(optional.into_iter().flatten().map(String::as_str));
    }
    texts.extend(
        images.iter().flat_map(|image| image.tags.iter().chain(image.contexts.values())).map(String::as_str),
    );
    texts.into_iter().flat_map(names_in).map(str::to_owned).collect()
}
