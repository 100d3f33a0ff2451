//! Mounts: `-v`, `--mount` and `--tmpfs` of docker run.
//!
//! A path of the host stays as it was written: whose folder a relative one starts from is for the caller.

/// A mount at a path of a container.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mount {
    /// The thing that is there.
    pub source: Source,
    /// The absolute path in the container.
    pub target: String,
    /// Whether the container may not write to it.
    pub read_only: bool,
}

/// The thing that a mount shows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// A file or folder of the engine's machine.
    Path(String),
    /// A volume by its name.
    Volume(String),
    /// A new volume that goes with the container.
    Anonymous,
    /// Memory, with options of the kernel such as `size=64m`.
    Tmpfs(String),
}

/// `-v`: `TARGET`, `VOLUME:TARGET`, `PATH:TARGET`, each with `:ro` or `:rw` behind it.
///
/// # Errors
/// What is wrong with it.
pub fn short(text: &str) -> Result<Mount, String> {
    let parts: Vec<&str> = text.split(':').collect();
    let (source, target, options) = match parts.as_slice() {
        [target] => (None, *target, ""),
        [target, options] if is_options(options) => (None, *target, *options),
        [source, target] => (Some(*source), *target, ""),
        [source, target, options] => (Some(*source), *target, *options),
        _ => return Err(format!("`{text}` has too many colons: write SOURCE:TARGET or SOURCE:TARGET:ro")),
    };
    let mut read_only = false;
    for option in options.split(',').filter(|option| !option.is_empty()) {
        match option {
            "ro" => read_only = true,
            // What the last three say is for engines of long ago.
            "rw" | "cached" | "delegated" | "consistent" => read_only = false,
            other => return Err(format!("`{other}` in `{text}` is not known here: a mount is `ro` or `rw`")),
        }
    }
    let source = match source {
        None => Source::Anonymous,
        Some("") => return Err(format!("`{text}` names nothing to mount")),
        Some(source) => source_of(source)?,
    };
    Ok(Mount { source, target: target_of(target)?, read_only })
}

fn is_options(text: &str) -> bool {
    !text.starts_with('/') && text.split(',').all(|option| matches!(option, "ro" | "rw"))
}

/// As docker tells them apart: what has a slash or begins with a dot or a tilde is a path. So is what begins
/// with a fact that is filled in later.
fn source_of(text: &str) -> Result<Source, String> {
    if text.contains('/') || text.starts_with(['.', '~', '{']) {
        return Ok(Source::Path(text.to_owned()));
    }
    let plain = |c: char| c.is_ascii_alphanumeric() || "_.-".contains(c);
    if text.len() > 1 && text.starts_with(|c: char| c.is_ascii_alphanumeric()) && text.chars().all(plain) {
        return Ok(Source::Volume(text.to_owned()));
    }
    Err(format!("`{text}` names neither a volume nor a path: a path begins with `/` or `./`"))
}

fn target_of(text: &str) -> Result<String, String> {
    match text.starts_with('/') && text != "/" {
        true => Ok(text.to_owned()),
        false => Err(format!("`{text}` is no place to mount at: it is an absolute path in the container")),
    }
}

/// `--mount`: `type=bind,source=PATH,target=PATH,readonly`.
///
/// # Errors
/// What is wrong with it.
pub fn long(text: &str) -> Result<Mount, String> {
    let (mut kind, mut source, mut target, mut read_only) = ("volume", "", "", false);
    let (mut size, mut mode) = (None, None);
    for part in text.split(',') {
        let (key, value) = part.split_once('=').unwrap_or((part, "true"));
        match key.to_ascii_lowercase().as_str() {
            "type" => kind = value,
            "source" | "src" => source = value,
            "target" | "dst" | "destination" => target = value,
            "readonly" | "ro" => {
                read_only = match value {
                    "true" | "1" => true,
                    "false" | "0" => false,
                    _ => return Err(format!("`{part}` in `{text}`: say true or false")),
                }
            }
            "tmpfs-size" => size = Some(value),
            "tmpfs-mode" => mode = Some(value),
            _ => return Err(format!("`{key}` in `{text}` is not known here")),
        }
    }
    let source = match (kind, source) {
        ("bind", "") => return Err(format!("`{text}` names no source")),
        ("bind", path) => Source::Path(path.to_owned()),
        ("volume", "") => Source::Anonymous,
        ("volume", name) => match source_of(name)? {
            Source::Path(_) => return Err(format!("`{name}` in `{text}` is a path: say type=bind")),
            volume => volume,
        },
        ("tmpfs", "") => {
            let options = [("size", size), ("mode", mode)];
            let options = options.iter().filter_map(|(key, value)| Some(format!("{key}={}", (*value)?)));
            Source::Tmpfs(options.collect::<Vec<_>>().join(","))
        }
        ("tmpfs", _) => return Err(format!("`{text}`: a tmpfs has no source")),
        (other, _) => return Err(format!("`{other}` in `{text}` is none of bind, volume, tmpfs")),
    };
    Ok(Mount { source, target: target_of(target)?, read_only })
}

/// `--tmpfs`: `TARGET` or `TARGET:OPTIONS`.
///
/// # Errors
/// What is wrong with it.
pub fn tmpfs(text: &str) -> Result<Mount, String> {
    let (target, options) = text.split_once(':').unwrap_or((text, ""));
    Ok(Mount { source: Source::Tmpfs(options.to_owned()), target: target_of(target)?, read_only: false })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_volume_has_a_name_and_a_path_has_a_slash_or_a_dot() {
        let source = |text: &str| short(text).unwrap().source;
        assert_eq!(source("data:/d"), Source::Volume("data".into()));
        assert_eq!(source("/srv/x:/d:ro"), Source::Path("/srv/x".into()));
        assert_eq!(source("./x:/d"), Source::Path("./x".into()));
        assert_eq!(source("~/x:/d"), Source::Path("~/x".into()));
        assert_eq!(source("/d"), Source::Anonymous);
        assert!(short("/srv/x:/d:ro").unwrap().read_only && short("/d:ro").unwrap().read_only);
        for wrong in ["", ":/d", "data:d", "a:/d:ro:x", "data:/d:z", "da ta:/d", "x:/"] {
            assert!(short(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn the_long_form_says_what_it_is() {
        let bind = long("type=bind,source=/a,target=/b,readonly").unwrap();
        assert_eq!(bind, Mount { source: Source::Path("/a".into()), target: "/b".into(), read_only: true });
        assert_eq!(long("src=data,dst=/b").unwrap().source, Source::Volume("data".into()));
        let memory = long("type=tmpfs,target=/t,tmpfs-size=64m").unwrap();
        assert_eq!(memory.source, Source::Tmpfs("size=64m".into()));
        assert_eq!(tmpfs("/t:size=1m").unwrap().source, Source::Tmpfs("size=1m".into()));
        for wrong in ["type=bind,target=/b", "type=npipe,target=/b", "source=/a,target=/b", "color=red"] {
            assert!(long(wrong).is_err(), "{wrong}");
        }
    }
}
