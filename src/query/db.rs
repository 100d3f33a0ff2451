//! The database, and the one thing beside the inputs that a query may reach.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::hands::Hands;

/// What queries see. Hands are for effects only: no query may decide on data
/// read through them that can change without an input.
#[salsa::db]
pub trait Db: salsa::Database {
    /// The engine, the ledger and the files, for `image` alone.
    fn hands(&self) -> &Hands;
}

/// The database of one repository in one process. Cloning makes another handle
/// on the same data; a setter waits until all other handles are gone.
#[salsa::db]
#[derive(Clone)]
pub struct ImkDb {
    storage: salsa::Storage<Self>,
    hands: Arc<Hands>,
    ran: Arc<Ran>,
}

/// Whether anything was computed since the database was made or loaded, and which queries, for tests.
#[derive(Default)]
pub struct Ran {
    any: AtomicBool,
    #[cfg(test)]
    log: std::sync::Mutex<Vec<String>>,
}

impl ImkDb {
    /// An empty database.
    pub fn new(hands: Arc<Hands>) -> Self {
        let ran = Arc::new(Ran::default());
        let seen = Arc::clone(&ran);
        let storage = salsa::Storage::new(Some(Box::new(move |event: salsa::Event| {
            if let salsa::EventKind::WillExecute { database_key } = event.kind {
                seen.any.store(true, Ordering::Relaxed);
                #[cfg(test)]
                seen.log.lock().unwrap().push(format!("{database_key:?}"));
                let _ = database_key;
            }
        })));
        Self { storage, hands, ran }
    }

    /// The same data for other hands: no query decides on what hands say.
    pub fn with_hands(self, hands: Arc<Hands>) -> Self {
        Self { hands, ..self }
    }

    /// Whether a query was executed rather than remembered.
    pub fn computed_anything(&self) -> bool {
        self.ran.any.load(Ordering::Relaxed)
    }

    /// The queries executed since the last call.
    #[cfg(test)]
    pub fn take_log(&self) -> Vec<String> {
        std::mem::take(&mut *self.ran.log.lock().unwrap())
    }

    /// The hands, shared.
    pub fn hands_arc(&self) -> Arc<Hands> {
        Arc::clone(&self.hands)
    }
}

#[salsa::db]
impl salsa::Database for ImkDb {}

#[salsa::db]
impl Db for ImkDb {
    fn hands(&self) -> &Hands {
        &self.hands
    }
}
