//! Outputs: the forms in which an image is handed out beside its engine, and where to.
//!
//! Values only. How they are spelled is in `syntax/imagefile/outputs`.

use serde::{Deserialize, Serialize};

/// The form of an output.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Form {
    /// `local`: the files of the image, in a folder.
    Local,
    /// `tar`: the files of the image, in an archive.
    Tar,
    /// `oci`: the image as the OCI image layout has it, in an archive.
    Oci,
    /// `oci` with `tar=false`: the same in a folder.
    OciFolder,
    /// `docker`: the image in an archive that `docker load` reads.
    Docker,
}

impl Form {
    /// The word for it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Local => "local",
            Self::Tar => "tar",
            Self::Oci | Self::OciFolder => "oci",
            Self::Docker => "docker",
        }
    }

    /// Whether it is a folder rather than one file.
    pub fn is_folder(self) -> bool {
        matches!(self, Self::Local | Self::OciFolder)
    }
}

/// How layers in an `oci` output are packed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Packing {
    /// With gzip, as registries have them.
    #[default]
    Gzip,
    /// With zstd.
    Zstd,
    /// Not at all.
    Plain,
}

/// A file or folder that an image is written to.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Output {
    /// In which form.
    pub form: Form,
    /// Where to: of the Imagefile a path below its folder, cleaned; of the command line as it was typed.
    pub dest: String,
    /// How layers are packed there.
    pub packing: Packing,
}

/// The outputs of an image.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Outputs {
    /// The files and folders.
    pub files: Vec<Output>,
    /// `cacheonly`: it is only to be shown that it builds. It gets no name, and no engine keeps it.
    pub nothing: bool,
}

impl Outputs {
    /// The outputs of one of several platforms, each in a place of its own: a folder in the folder, named as BuildKit
    /// names it, or a file beside the file.
    ///
    /// ```
    /// use imk::model::output::{Form, Output, Outputs, Packing};
    ///
    /// let output = |form, dest: &str| Output { form, dest: dest.to_owned(), packing: Packing::Gzip };
    /// let files = vec![output(Form::Local, "out"), output(Form::Oci, "d/app.tar"), output(Form::Tar, "app")];
    /// let of_arm = Outputs { files, nothing: false }.for_platform("linux/arm64");
    /// let places: Vec<&str> = of_arm.files.iter().map(|output| output.dest.as_str()).collect();
    /// assert_eq!(places, ["out/linux_arm64", "d/app-linux-arm64.tar", "app-linux-arm64"]);
    /// ```
    pub fn for_platform(&self, platform: &str) -> Self {
        let place = |output: &Output| match output.form.is_folder() {
            true => format!("{}/{}", output.dest, platform.replace('/', "_")),
            false => {
                let (folder, file) =
                    output.dest.rsplit_once('/').map_or(("", &*output.dest), |(a, b)| (a, b));
                let (stem, ending) =
                    file.split_once('.').map_or((file, String::new()), |(a, b)| (a, format!(".{b}")));
                let folder = if folder.is_empty() { String::new() } else { format!("{folder}/") };
                format!("{folder}{stem}-{}{ending}", platform.replace('/', "-"))
            }
        };
        let files = self.files.iter().map(|output| Output { dest: place(output), ..output.clone() });
        Self { files: files.collect(), nothing: self.nothing }
    }
}
