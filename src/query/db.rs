//! The database, and the one thing beside the inputs that a query may reach: the effect.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::effect::Effect;

/// The database as queries see it. No query may decide on what an effect says
/// that can change without an input.
#[salsa::db]
pub trait Db: salsa::Database {
    /// Engines, ledger and files, for `image` alone.
    fn effect(&self) -> &dyn Effect;
}

/// The database of one repository in one process. Cloning makes another handle
/// on the same data; a setter waits until all other handles are gone.
#[salsa::db]
#[derive(Clone)]
pub struct ImkDb {
    storage: salsa::Storage<Self>,
    effect: Arc<dyn Effect>,
    ran: Arc<Ran>,
}

/// The queries that ran since the database was made or loaded; which, for tests alone.
#[derive(Default)]
pub struct Ran {
    any: AtomicBool,
    #[cfg(test)]
    log: parking_lot::Mutex<Vec<String>>,
}

impl ImkDb {
    /// An empty database.
    pub fn new(effect: Arc<dyn Effect>) -> Self {
        let ran = Arc::new(Ran::default());
        let seen = Arc::clone(&ran);
        let storage = salsa::Storage::new(Some(Box::new(move |event: salsa::Event| {
            if let salsa::EventKind::WillExecute { database_key } = event.kind {
                seen.any.store(true, Ordering::Relaxed);
                #[cfg(test)]
                seen.log.lock().push(format!("{database_key:?}"));
                let _ = database_key;
            }
        })));
        Self { storage, effect, ran }
    }

    /// The same data with another effect: no query decides on what an effect says.
    pub fn with_effect(self, effect: Arc<dyn Effect>) -> Self {
        Self { effect, ..self }
    }

    /// Whether a query was executed rather than remembered.
    pub fn computed_anything(&self) -> bool {
        self.ran.any.load(Ordering::Relaxed)
    }

    /// The queries executed since the last call.
    #[cfg(test)]
    pub fn take_log(&self) -> Vec<String> {
        std::mem::take(&mut *self.ran.log.lock())
    }
}

#[salsa::db]
impl salsa::Database for ImkDb {}

#[salsa::db]
impl Db for ImkDb {
    fn effect(&self) -> &dyn Effect {
        &*self.effect
    }
}
