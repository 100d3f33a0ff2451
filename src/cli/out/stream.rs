//! Bytes to a stream, whatever its reader does.
//!
//! Knows nothing of what is written.

use std::io::{self, ErrorKind};
use std::os::fd::AsFd;

use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;

/// Writes all of it, however slow the reader. Another process may have made the stream one that does
/// not wait (`O_NONBLOCK` belongs to all who share it); then the waiting is done here.
pub fn write(mut stream: impl AsFd + io::Write, mut bytes: &[u8]) -> io::Result<()> {
    // Nothing should be kept there, but the order of what is shown would suffer.
    let _ = stream.flush();
    while !bytes.is_empty() {
        match rustix::io::write(&stream, bytes) {
            Ok(0) => return Err(ErrorKind::WriteZero.into()),
            Ok(count) => bytes = &bytes[count..],
            Err(Errno::INTR) => {}
            Err(Errno::AGAIN) => {
                let wait = poll(&mut [PollFd::new(&stream, PollFlags::OUT)], None);
                wait.map(drop).or_else(|error| if error == Errno::INTR { Ok(()) } else { Err(error) })?;
            }
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slow_reader_is_waited_for_and_one_that_left_is_told_apart() {
        use std::io::Read;
        let (mut reader, writer) = std::os::unix::net::UnixStream::pair().unwrap();
        writer.set_nonblocking(true).unwrap();
        let many = vec![b'x'; 4 << 20];
        let length = many.len();
        let writing = std::thread::spawn(move || write(writer, &many).is_ok());
        let mut read = Vec::new();
        reader.read_to_end(&mut read).unwrap();
        assert!(writing.join().unwrap());
        assert_eq!(read.len(), length);
        let (reader, writer) = std::os::unix::net::UnixStream::pair().unwrap();
        drop(reader);
        assert_eq!(write(writer, b"x").unwrap_err().kind(), ErrorKind::BrokenPipe);
    }

    #[test]
    fn a_full_device_is_an_error_and_no_panic() {
        let full = fs_err::OpenOptions::new().write(true).open("/dev/full").unwrap();
        let error = write(full.into_parts().0, b"x").unwrap_err();
        assert_eq!(error.kind(), ErrorKind::StorageFull);
    }
}
