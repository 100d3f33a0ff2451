//! Rights beyond the usual ones: `--security=insecure`, and devices, as BuildKit has them.
//!
//! A step that is insecure has the rights of whoever builds: root's are those of the machine. So it runs only
//! where the user has said that it may (`--allow security.insecure`).

use std::collections::BTreeSet;

use rustix::fs::Uid;
use rustix::io::Errno;
use rustix::thread::{
    CapabilitySet, CapabilitySets, configure_capability_in_ambient_set, set_capabilities,
    set_keep_capabilities, set_thread_uid,
};

use crate::embedded::trouble::{Result, refused};
use crate::syntax::dockerfile::Run;

/// BuildKit's word for the right to run without walls.
const INSECURE: &str = "security.insecure";

/// Devices that BuildKit gives to such a step, of characters: name, major and minor number.
pub const MORE_DEVICES: [(&str, u32, u32); 2] = [("fuse", 10, 229), ("loop-control", 10, 237)];
/// The major number of loop devices, and how many of them there are in such a step.
pub const LOOPS: (u32, u32) = (7, 16);

/// Whether a step runs without walls.
///
/// # Errors
/// When nobody said that it may, or the word is not known.
pub fn is_insecure(run: &Run, allowed: &BTreeSet<String>) -> Result<bool> {
    match run.security.as_deref() {
        None | Some("sandbox" | "") => Ok(false),
        Some("insecure") if allowed.contains(INSECURE) => Ok(true),
        Some("insecure") => refused(
            "running with --security=insecure",
            "security.insecure is not allowed; `entitlements: [\"security.insecure\"]` of the image asks for it, and \
             `--allow security.insecure` is your word that it may",
        ),
        Some(other) => {
            refused(format!("running with --security={other}"), "security is `sandbox` or `insecure`")
        }
    }
}

/// Looks at a device that a step asks for (`name,required`). None is known to this builder, as none is to a BuildKit on a
/// machine that describes none: a step that does not require it runs without.
///
/// # Errors
/// When it is required, in BuildKit's words.
pub fn device(asked: &str) -> Result<()> {
    let mut words = asked.split(',').map(str::trim);
    let name = words.next().unwrap_or_default();
    let name = name.strip_prefix("name=").unwrap_or(name);
    let mut required = false;
    for word in words {
        required = match word {
            "required" | "required=true" | "required=1" => true,
            "required=false" | "required=0" => false,
            other => {
                return refused(format!("reading --device={asked}"), format!("`{other}` is no option of it"));
            }
        };
    }
    if required {
        let why = format!(
            "required device \"{name}\" is not registered; the embedded builder gives commands no devices of the machine"
        );
        return refused(format!("running with --device={asked}"), why);
    }
    Ok(())
}

/// Keeps all rights, also for a user who is not root: as BuildKit has it, they are ambient.
pub fn keep(all: CapabilitySet, uid: u32) -> std::result::Result<(), Errno> {
    if uid != 0 {
        set_keep_capabilities(true)?;
        set_thread_uid(Uid::from_raw(uid))?;
    }
    set_capabilities(None, CapabilitySets { effective: all, permitted: all, inheritable: all })?;
    for capability in all.iter() {
        // Kernels before 4.3 know none, and root needs none.
        let _ = configure_capability_in_ambient_set(capability, true);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_device_that_is_not_there_is_missed_only_where_it_is_required() {
        for asked in ["vendor.com/class=one", "vendor.com/class", "x,required=false", "name=x"] {
            assert!(device(asked).is_ok(), "{asked}");
        }
        for asked in ["vendor.com/class=one,required", "name=x,required=true"] {
            let told = device(asked).unwrap_err().to_string();
            assert!(told.contains("is not registered"), "{told}");
        }
        assert!(device("x,what").is_err());
    }
}
