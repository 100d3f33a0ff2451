//! `output`: what is written beside an image, as docker build and bake spell it.
//!
//! Knows the words; opens nothing.

use super::Word;
use super::scope::Scope;
use crate::model::name::clean_path;
use crate::model::output::{Form, Output, Outputs, Packing};
use crate::syntax::error::SyntaxError;
use crate::syntax::suggest::did_you_mean;

/// A mistake, and the remedy.
type Mistake = (String, String);

/// The meaning of one word of `output`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Asked {
    /// A file or a folder.
    File(Output),
    /// Only that it builds.
    Nothing,
    /// The image in the engine, which every build leaves there.
    Image,
}

const EXAMPLE: &str = "such as type=local,dest=out, type=tar,dest=out.tar, type=oci,dest=image.tar or type=docker,dest=image.tar";
const TYPES: [&str; 7] = ["local", "tar", "oci", "docker", "cacheonly", "image", "registry"];

/// One output: `type=local,dest=out`, or a path alone for a folder.
///
/// # Errors
/// What is wrong with it, and what to do.
pub fn output(text: &str) -> Result<Asked, Mistake> {
    let mut asked = Pairs::read(text)?;
    if asked.dest == "-" {
        let hint = "name a file: imk's own summary is on standard output".to_owned();
        return Err((format!("`{text}` writes to standard output"), hint));
    }
    let form = match asked.kind.as_str() {
        "local" => Form::Local,
        "tar" => Form::Tar,
        "oci" if asked.unpacked => Form::OciFolder,
        "oci" => Form::Oci,
        "docker" if asked.dest.is_empty() => return asked.rest(text).map(|()| Asked::Image),
        "docker" => Form::Docker,
        "image" if asked.push => return Err(pushes(text)),
        "image" => return asked.rest(text).map(|()| Asked::Image),
        "registry" => return Err(pushes(text)),
        "cacheonly" => return asked.rest(text).map(|()| Asked::Nothing),
        other => {
            let hint = did_you_mean(other, TYPES).unwrap_or_else(|| EXAMPLE.to_owned());
            return Err((format!("there is no output of type `{other}`"), hint));
        }
    };
    if asked.dest.is_empty() {
        return Err((format!("`{text}` does not say where to"), format!("add dest=PATH, {EXAMPLE}")));
    }
    let packing = match (asked.compression.take().as_deref(), form) {
        (None, _) => Packing::default(),
        (Some(_), Form::Local | Form::Tar | Form::Docker) => {
            let hint = "only the layers of an `oci` output are packed; leave `compression` out".to_owned();
            return Err((format!("`{text}` packs nothing"), hint));
        }
        (Some("gzip"), _) => Packing::Gzip,
        (Some("zstd"), _) => Packing::Zstd,
        (Some("uncompressed"), _) => Packing::Plain,
        (Some(other), _) => {
            let hint = "it is gzip, zstd or uncompressed".to_owned();
            return Err((format!("there is no compression `{other}`"), hint));
        }
    };
    asked.rest(text)?;
    Ok(Asked::File(Output { form, dest: asked.dest, packing }))
}

/// All outputs of an image.
///
/// # Errors
/// The first mistake in them, and what to do.
pub fn ask(texts: &[String]) -> Result<Outputs, Mistake> {
    let mut outputs = Outputs::default();
    for text in texts {
        add(&mut outputs, output(text)?, text)?;
    }
    Ok(outputs)
}

fn add(outputs: &mut Outputs, asked: Asked, text: &str) -> Result<(), Mistake> {
    match asked {
        Asked::Image => {}
        Asked::Nothing => outputs.nothing = true,
        Asked::File(file) if outputs.files.iter().any(|other| other.dest == file.dest) => {
            let hint = "give each output a place of its own".to_owned();
            return Err((format!("`{text}` has the place of another output"), hint));
        }
        Asked::File(file) => outputs.files.push(file),
    }
    if outputs.nothing && !outputs.files.is_empty() {
        let hint = "leave one of them out".to_owned();
        return Err(("`type=cacheonly` keeps nothing, and another output keeps something".to_owned(), hint));
    }
    Ok(())
}

fn pushes(text: &str) -> Mistake {
    let hint = "`imk push`, or `imk build --push`, publishes what was built under all its tags".to_owned();
    (format!("`{text}` publishes the image"), hint)
}

/// The keys of an output as written.
#[derive(Default)]
struct Pairs {
    kind: String,
    dest: String,
    unpacked: bool,
    push: bool,
    compression: Option<String>,
    /// The first key that none of these is.
    other: Option<String>,
}

impl Pairs {
    fn read(text: &str) -> Result<Self, Mistake> {
        let mut pairs = Self::default();
        if !text.contains('=') {
            // As docker's own client reads it.
            let kind = if text == "-" { "tar" } else { "local" };
            return Ok(Self { kind: kind.to_owned(), dest: text.to_owned(), ..pairs });
        }
        for pair in text.split(',') {
            let Some((key, value)) = pair.split_once('=') else {
                return Err((format!("`{pair}` in `{text}` is no KEY=VALUE"), EXAMPLE.to_owned()));
            };
            let flag = || match value {
                "true" | "1" => Ok(true),
                "false" | "0" => Ok(false),
                _ => Err((format!("`{pair}` is neither true nor false"), EXAMPLE.to_owned())),
            };
            match key.trim().to_ascii_lowercase().as_str() {
                "type" => pairs.kind = value.to_owned(),
                "dest" => pairs.dest = value.to_owned(),
                "tar" => pairs.unpacked = !flag()?,
                "push" => pairs.push = flag()?,
                "compression" => pairs.compression = Some(value.to_owned()),
                // Every build leaves its image with all its names.
                "name" | "load" if matches!(pairs.kind.as_str(), "image" | "docker") => {}
                other => drop(pairs.other.get_or_insert_with(|| other.to_owned())),
            }
        }
        if pairs.kind.is_empty() {
            return Err((format!("`{text}` has no type"), EXAMPLE.to_owned()));
        }
        Ok(pairs)
    }

    /// Refuses what is left.
    fn rest(&self, text: &str) -> Result<(), Mistake> {
        let key = match (&self.other, self.unpacked, &self.compression) {
            (Some(other), ..) => other.as_str(),
            (None, true, _) if self.kind != "oci" => "tar",
            (None, _, Some(_)) => "compression",
            _ => return Ok(()),
        };
        let hint = "an output takes type and dest; one of type oci also tar and compression".to_owned();
        Err((format!("an output of type `{}` has no key `{key}` (`{text}`)", self.kind), hint))
    }
}

impl Scope<'_> {
    pub(super) fn outputs(&mut self, words: &[Word]) -> Outputs {
        let mut outputs = Outputs::default();
        for word in self.words(words) {
            let below = |asked| match asked {
                Asked::File(file) => below_the_imagefile(file).map(Asked::File),
                other => Ok(other),
            };
            let taken = output(&word.text).and_then(below);
            let taken = taken.and_then(|asked| add(&mut outputs, asked, &word.text));
            if let Err((message, hint)) = taken {
                self.errors.push(SyntaxError::new(word.span, message).hint(hint));
            }
        }
        outputs
    }
}

/// An output of an Imagefile is below its folder, and not where git or imk keep what is theirs: an
/// Imagefile may be a stranger's.
fn below_the_imagefile(file: Output) -> Result<Output, Mistake> {
    let hint = || "an Imagefile writes below its own folder; --output writes anywhere".to_owned();
    let dest = clean_path(&file.dest).filter(|_| !file.dest.starts_with('/'));
    let Some(dest) = dest.filter(|dest| !dest.is_empty()) else {
        return Err((format!("the output `{}` leads out of the Imagefile's folder", file.dest), hint()));
    };
    if let Some(own) =
        dest.split('/').find(|part| [".git", ".imk"].iter().any(|own| part.eq_ignore_ascii_case(own)))
    {
        return Err((format!("the output `{dest}` is inside `{own}`, which is not the Imagefile's"), hint()));
    }
    Ok(Output { dest, ..file })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::syntax::imagefile::read;

    fn file(form: Form, dest: &str) -> Asked {
        Asked::File(Output { form, dest: dest.into(), packing: Packing::Gzip })
    }

    #[test]
    fn outputs_are_spelled_as_docker_spells_them() {
        for (text, wanted) in [
            ("out", file(Form::Local, "out")),
            ("type=local,dest=out", file(Form::Local, "out")),
            ("type=tar,dest=o.tar", file(Form::Tar, "o.tar")),
            ("type=oci,dest=o.tar", file(Form::Oci, "o.tar")),
            ("type=oci,dest=o,tar=false", file(Form::OciFolder, "o")),
            ("dest=o.tar,type=docker", file(Form::Docker, "o.tar")),
            ("type=docker", Asked::Image),
            ("type=image,name=x", Asked::Image),
            ("type=cacheonly", Asked::Nothing),
        ] {
            assert_eq!(output(text), Ok(wanted), "{text}");
        }
        let zstd = Output { form: Form::Oci, dest: "o".into(), packing: Packing::Zstd };
        assert_eq!(output("type=oci,dest=o,compression=zstd"), Ok(Asked::File(zstd)));
    }

    #[test]
    fn what_is_no_output_says_why() {
        for (text, wanted) in [
            ("-", "`-` writes to standard output"),
            ("type=loca,dest=x", "there is no output of type `loca`"),
            ("type=tar", "`type=tar` does not say where to"),
            ("type=registry", "`type=registry` publishes the image"),
            ("type=image,push=true", "`type=image,push=true` publishes the image"),
            (
                "type=tar,dest=x,tar=false",
                "an output of type `tar` has no key `tar` (`type=tar,dest=x,tar=false`)",
            ),
            ("type=oci,dest=x,foo=1", "an output of type `oci` has no key `foo` (`type=oci,dest=x,foo=1`)"),
            ("type=tar,dest=x,compression=gzip", "`type=tar,dest=x,compression=gzip` packs nothing"),
            ("dest=x", "`dest=x` has no type"),
        ] {
            assert_eq!(output(text).unwrap_err().0, wanted, "{text}");
        }
        let both = ["type=cacheonly".to_owned(), "out".to_owned()];
        assert!(ask(&both).is_err());
    }

    #[test]
    fn an_imagefile_writes_below_its_folder_and_nowhere_else() {
        let told = |dest: &str| {
            let text = format!(r#"(images: {{"a": (output: "type=local,dest={dest}")}})"#);
            read(&text, &BTreeMap::new()).map(|file| file.images[0].outputs.files[0].dest.clone())
        };
        assert_eq!(told("./out//x").unwrap(), "out/x");
        for hostile in ["../x", "/etc/cron.d", ".", ".git/hooks", "sub/.git/hooks", ".imk", "a/../.."] {
            assert!(told(hostile).is_err(), "{hostile}");
        }
    }
}
