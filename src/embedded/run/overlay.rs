//! Layers above each other as the kernel mounts them.

use std::ffi::CString;
use std::io;
use std::path::Path;

use rustix::mount::{MountFlags, UnmountFlags, mount, unmount};
use rustix::process::chdir;

use super::job::Job;
use super::rung::Rung;
use crate::embedded::trouble::{During, Result};

/// Mounts layers above each other; `top` is what is written to, and the overlay's own folder.
pub fn overlay(job: &Job, names: &[String], top: Option<(&Path, &Path)>, at: &Path) -> Result<()> {
    // Names are short below this folder: the kernel takes no more than a page of them.
    above((job.rung, job.insecure), &job.store.join("trees"), names, top, at)
}

/// Tries whether a folder carries an overlay.
pub fn tried(rung: Rung, folder: &Path) -> Result<()> {
    let what = || "trying an overlay".to_owned();
    let place = tempfile::tempdir_in(folder).during(what)?;
    let at = |name: &str| place.path().join(name);
    for name in ["lower", "upper", "work", "at"] {
        fs_err::create_dir(at(name)).during(what)?;
    }
    let mounted = above(
        (rung, false),
        place.path(),
        &["lower".to_owned()],
        Some((&at("upper"), &at("work"))),
        &at("at"),
    );
    let _ = unmount(at("at"), UnmountFlags::DETACH);
    mounted
}

fn above(
    (rung, devices): (Rung, bool),
    folder: &Path,
    names: &[String],
    top: Option<(&Path, &Path)>,
    at: &Path,
) -> Result<()> {
    let what = || "mounting the layers of a stage".to_owned();
    chdir(folder).during(what)?;
    let lower: Vec<&str> = names.iter().rev().map(String::as_str).collect();
    let mut options = format!("lowerdir={}", lower.join(":"));
    if let Some((upper, work)) = top {
        options += &format!(",upperdir={},workdir={}", escaped(upper), escaped(work));
    }
    options += ",index=off,metacopy=off,redirect_dir=off";
    if rung == Rung::User {
        options = options.replace(",metacopy=off,redirect_dir=off", ",userxattr");
    }
    let mounted = |more: &str| {
        let options = CString::new(format!("{options}{more}")).map_err(io::Error::other)?;
        // Devices that a command makes are devices to nobody, unless it may have them.
        let flags = if devices && rung == Rung::Root { MountFlags::empty() } else { MountFlags::NODEV };
        let done = mount("overlay", at, "overlay", flags, Some(options.as_c_str()));
        done.map_err(io::Error::from)
    };
    // Nothing that a command writes need be on the disk before the layer is.
    let fast = if top.is_some() { mounted(",volatile") } else { mounted("") };
    let done = fast.or_else(|_| mounted("")).during(what);
    chdir("/").during(what)?;
    done
}

/// A path as a mount option has it.
fn escaped(path: &Path) -> String {
    path.display().to_string().replace('\\', "\\\\").replace(',', "\\,").replace(':', "\\:")
}
