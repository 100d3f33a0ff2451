//! SHA-256 of what is read, as registries and layouts name blobs.

use std::io::{self, Read};

use ring::digest::{Context, SHA256};

/// The digest of some bytes, as `sha256:…`.
pub(super) fn digest(from: &mut dyn Read) -> io::Result<String> {
    let (mut context, mut buffer) = (Context::new(&SHA256), vec![0; 128 << 10]);
    loop {
        let read = from.read(&mut buffer)?;
        if read == 0 {
            break;
        }
        context.update(&buffer[..read]);
    }
    let hex: String = context.finish().as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
    Ok(format!("sha256:{hex}"))
}
