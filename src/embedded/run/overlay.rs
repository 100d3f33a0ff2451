//! Layers above each other as the kernel mounts them.

use std::ffi::CString;
use std::io;
use std::path::Path;

use rustix::mount::{MountFlags, mount};
use rustix::process::chdir;

use super::job::Job;
use super::rung::Rung;
use crate::embedded::trouble::{During, Result};

/// Mounts layers above each other; `top` is what is written to, and the overlay's own folder.
pub fn overlay(job: &Job, names: &[String], top: Option<(&Path, &Path)>, at: &Path) -> Result<()> {
    let what = || "mounting the layers of a stage".to_owned();
    // Names are short below this folder: the kernel takes no more than a page of them.
    chdir(job.store.join("trees")).during(what)?;
    let lower: Vec<&str> = names.iter().rev().map(String::as_str).collect();
    let mut options = format!("lowerdir={}", lower.join(":"));
    if let Some((upper, work)) = top {
        options += &format!(",upperdir={},workdir={}", escaped(upper), escaped(work));
    }
    options += ",index=off,metacopy=off,redirect_dir=off";
    if job.rung == Rung::User {
        options = options.replace(",metacopy=off,redirect_dir=off", ",userxattr");
    }
    let mounted = |more: &str| {
        let options = CString::new(format!("{options}{more}")).map_err(io::Error::other)?;
        let done = mount("overlay", at, "overlay", MountFlags::NODEV, Some(options.as_c_str()));
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
