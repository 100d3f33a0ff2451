//! Keys of an image laid over those that it inherits: maps name by name, all else whole.

use super::raw::{Pairs, RawImage};

/// Lays `from` over `into`.
pub(super) fn merge(into: &mut RawImage, from: &RawImage) {
    fn replace<T: Clone>(into: &mut Option<T>, from: &Option<T>) {
        if from.is_some() {
            into.clone_from(from);
        }
    }
    fn add<V: Clone>(into: &mut Pairs<V>, from: &Pairs<V>) {
        for (key, value) in from {
            into.retain(|(other, _)| other.text != key.text);
            into.push((key.clone(), value.clone()));
        }
    }
    // One takes the place of the other.
    if from.dockerfile.is_some() || from.dockerfile_inline.is_some() {
        into.dockerfile.clone_from(&from.dockerfile);
        into.dockerfile_inline.clone_from(&from.dockerfile_inline);
    }
    replace(&mut into.context, &from.context);
    replace(&mut into.target, &from.target);
    replace(&mut into.exclude, &from.exclude);
    replace(&mut into.platforms, &from.platforms);
    replace(&mut into.tags, &from.tags);
    replace(&mut into.any_tag, &from.any_tag);
    replace(&mut into.publish, &from.publish);
    replace(&mut into.network, &from.network);
    replace(&mut into.upstream, &from.upstream);
    replace(&mut into.engine_labels, &from.engine_labels);
    replace(&mut into.cache_from, &from.cache_from);
    replace(&mut into.cache_to, &from.cache_to);
    replace(&mut into.output, &from.output);
    replace(&mut into.ssh, &from.ssh);
    replace(&mut into.no_cache_filter, &from.no_cache_filter);
    replace(&mut into.entitlements, &from.entitlements);
    replace(&mut into.shm_size, &from.shm_size);
    replace(&mut into.ulimits, &from.ulimits);
    replace(&mut into.description, &from.description);
    into.run.extend(from.run.iter().cloned());
    add(&mut into.matrix, &from.matrix);
    add(&mut into.tests, &from.tests);
    add(&mut into.overlays, &from.overlays);
    add(&mut into.contexts, &from.contexts);
    add(&mut into.args, &from.args);
    add(&mut into.labels, &from.labels);
    add(&mut into.annotations, &from.annotations);
    add(&mut into.extra_hosts, &from.extra_hosts);
    add(&mut into.secrets, &from.secrets);
}
