//! The token of the service: whoever shows it may act. Reading needs none.
//!
//! It is made at the first start and lies in the state's folder, where its owner alone reads it. A browser gets a
//! session for it: a time and a code that only the token can make, so that nothing is kept here and a new token ends all
//! sessions.

use std::fmt;
use std::io::{self, ErrorKind, Write as _};
use std::path::Path;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use fs_err as fs;
use ring::hmac;
use ring::rand::{SecureRandom, SystemRandom};

use crate::model::time::UnixSeconds;

/// The name of its file.
const FILE: &str = "token";
/// Bytes of one that is made here.
const BYTES: usize = 32;
/// A shorter one, put there by hand, is guessed too soon.
const LENGTH_MIN: usize = 16;
/// A browser is signed in so long.
pub const SESSION: Duration = Duration::from_secs(12 * 3600);

/// The token.
pub struct Token(String);

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(…)")
    }
}

impl Token {
    /// The token of a state's folder, made where there is none yet.
    ///
    /// # Errors
    /// When it can be neither read nor written, or is too short.
    pub fn open(state: &Path) -> io::Result<Self> {
        let path = state.join(FILE);
        if let Some(token) = Self::read(state)? {
            return Ok(token);
        }
        let made = Self::random()?;
        // Readable by its owner alone from its first moment, and of two that make one, the first has its way.
        let mut file = tempfile::NamedTempFile::new_in(state)?;
        writeln!(file, "{}", made.0)?;
        file.as_file().sync_all()?;
        match file.persist_noclobber(&path) {
            Ok(_) => Ok(made),
            Err(error) if error.error.kind() == ErrorKind::AlreadyExists => {
                Self::new(fs::read_to_string(&path)?.trim())
            }
            Err(error) => Err(error.error),
        }
    }

    /// The token of a state's folder, where there is one.
    ///
    /// # Errors
    /// When it cannot be read, or is too short.
    pub fn read(state: &Path) -> io::Result<Option<Self>> {
        match fs::read_to_string(state.join(FILE)) {
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            read => Self::new(read?.trim()).map(Some),
        }
    }

    /// A token by its text.
    ///
    /// # Errors
    /// When it is too short to be one.
    pub fn new(text: &str) -> io::Result<Self> {
        match text.len() >= LENGTH_MIN {
            true => Ok(Self(text.to_owned())),
            false => Err(io::Error::other(format!(
                "the token has less than {LENGTH_MIN} characters: remove its file, and a new one is made"
            ))),
        }
    }

    /// A new one, of no folder.
    ///
    /// # Errors
    /// When the system gives no random bytes.
    pub fn random() -> io::Result<Self> {
        let mut bytes = [0; BYTES];
        SystemRandom::new()
            .fill(&mut bytes)
            .map_err(|_| io::Error::other("the system gives no random bytes"))?;
        Ok(Self(URL_SAFE_NO_PAD.encode(bytes)))
    }

    /// Its text, for whoever may have it.
    pub fn shown(&self) -> &str {
        &self.0
    }

    /// Whether a text is the token. Takes as long for every wrong one.
    pub fn admits(&self, text: &str) -> bool {
        let other = hmac::Key::new(hmac::HMAC_SHA256, text.as_bytes());
        hmac::verify(&other, b"token", hmac::sign(&self.key(), b"token").as_ref()).is_ok()
    }

    /// A session that begins now.
    pub fn session(&self, now: UnixSeconds) -> String {
        let ends = now.0.saturating_add(SESSION.as_secs());
        format!("{ends}.{}", self.code(&format!("session {ends}")))
    }

    /// The key of the forms of a session, if it is one and has not ended.
    pub fn form_key(&self, session: &str, now: UnixSeconds) -> Option<String> {
        let (ends, code) = session.split_once('.')?;
        let moment: u64 = ends.parse().ok()?;
        // A clock that was far ahead when the session began makes no longer one.
        let is_now = now.0 < moment && moment <= now.0.saturating_add(SESSION.as_secs());
        (is_now && self.is_code(&format!("session {ends}"), code))
            .then(|| self.code(&format!("form {session}")))
    }

    /// Whether a form came with the key of its session.
    pub fn is_form_of(&self, session: &str, key: &str) -> bool {
        self.is_code(&format!("form {session}"), key)
    }

    fn code(&self, of: &str) -> String {
        URL_SAFE_NO_PAD.encode(hmac::sign(&self.key(), of.as_bytes()))
    }

    fn is_code(&self, of: &str, code: &str) -> bool {
        URL_SAFE_NO_PAD.decode(code).is_ok_and(|code| hmac::verify(&self.key(), of.as_bytes(), &code).is_ok())
    }

    fn key(&self) -> hmac::Key {
        hmac::Key::new(hmac::HMAC_SHA256, self.0.as_bytes())
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn a_token_is_made_once_and_read_by_its_owner_alone() {
        let folder = tempfile::tempdir().unwrap();
        let token = Token::open(folder.path()).unwrap();
        assert_eq!(Token::open(folder.path()).unwrap().shown(), token.shown());
        let mode = fs::metadata(folder.path().join(FILE)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        assert_ne!(Token::random().unwrap().shown(), token.shown());
        assert_eq!(format!("{token:?}"), "Token(…)");
        fs::write(folder.path().join(FILE), "short\n").unwrap();
        assert!(Token::open(folder.path()).unwrap_err().to_string().contains("remove its file"));
    }

    #[test]
    fn the_token_admits_itself_and_a_session_ends() {
        let token = Token::new("0123456789abcdef").unwrap();
        assert!(token.admits("0123456789abcdef"));
        for wrong in ["", "0123456789abcde", "0123456789abcdef ", "0123456789abcdeg"] {
            assert!(!token.admits(wrong), "{wrong:?}");
        }
        let now = UnixSeconds(1_800_000_000);
        let session = token.session(now);
        let key = token.form_key(&session, now).unwrap();
        assert!(token.is_form_of(&session, &key) && !token.is_form_of(&session, &session));
        let later = |seconds| UnixSeconds(now.0 + seconds);
        assert!(token.form_key(&session, later(SESSION.as_secs() - 1)).is_some());
        assert!(token.form_key(&session, later(SESSION.as_secs())).is_none());
        assert!(token.form_key(&session, UnixSeconds(now.0 - 10)).is_none(), "of a clock that was ahead");
        let other = Token::new("fedcba9876543210").unwrap();
        assert!(other.form_key(&session, now).is_none());
        let longer = session.replacen("18", "19", 1);
        for forged in ["", ".", "1", "9999999999.", longer.as_str()] {
            assert!(token.form_key(forged, now).is_none(), "{forged}");
        }
    }
}
