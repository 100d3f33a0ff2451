//! Identical questions under way at the same time are asked once.
//!
//! Remembers nothing of an answer when nobody waits for it any more.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::OnceCell;

use crate::registry::RegistryError;

type Flight<T> = Arc<OnceCell<Result<T, RegistryError>>>;

/// Questions of one kind that are under way.
pub(super) struct Flights<T>(Mutex<BTreeMap<String, Flight<T>>>);

impl<T> Default for Flights<T> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<T: Clone> Flights<T> {
    /// The answer to a question, from whoever asks it first. When that one is
    /// stopped, the next goes on in its place.
    pub(super) async fn join(
        &self,
        question: String,
        ask: impl Future<Output = Result<T, RegistryError>>,
    ) -> Result<T, RegistryError> {
        let seat = Seat { flights: self, flight: self.board(&question), question };
        seat.flight.get_or_init(|| ask).await.clone()
    }

    fn board(&self, question: &str) -> Flight<T> {
        let mut flights = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        // One that has landed is over: whoever comes now wants to know how it is now.
        if let Some(flight) = flights.get(question).filter(|flight| !flight.initialized()) {
            return Arc::clone(flight);
        }
        let flight = Flight::default();
        flights.insert(question.to_owned(), Arc::clone(&flight));
        flight
    }
}

/// A place in a flight; the last to leave takes it off the board.
struct Seat<'a, T> {
    flights: &'a Flights<T>,
    flight: Flight<T>,
    question: String,
}

impl<T> Drop for Seat<'_, T> {
    fn drop(&mut self) {
        let mut flights = self.flights.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(listed) = flights.get(&self.question)
            && Arc::ptr_eq(listed, &self.flight)
            // The board's and ours.
            && (self.flight.initialized() || Arc::strong_count(&self.flight) <= 2)
        {
            flights.remove(&self.question);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use tokio::sync::Notify;

    use super::*;

    fn runtime() -> tokio::runtime::Runtime {
        tokio::runtime::Builder::new_current_thread().build().unwrap()
    }

    #[test]
    fn the_same_question_is_asked_once_at_a_time_and_again_later() {
        let (flights, asked, gate) = (Flights::default(), AtomicUsize::new(0), Notify::new());
        let question = || {
            flights.join("a".to_owned(), async {
                asked.fetch_add(1, Ordering::SeqCst);
                gate.notified().await;
                Ok(7)
            })
        };
        runtime().block_on(async {
            let open = async {
                tokio::task::yield_now().await;
                gate.notify_one();
            };
            let (first, second, ()) = tokio::join!(question(), question(), open);
            assert_eq!((first, second), (Ok(7), Ok(7)));
            assert_eq!(asked.load(Ordering::SeqCst), 1);
            gate.notify_one();
            assert_eq!(question().await, Ok(7));
            assert_eq!(asked.load(Ordering::SeqCst), 2);
        });
        assert!(flights.0.lock().unwrap().is_empty());
    }

    #[test]
    fn whoever_waits_goes_on_when_the_first_is_stopped() {
        let flights = Flights::default();
        runtime().block_on(async {
            let mut first = Box::pin(flights.join("a".to_owned(), async { std::future::pending().await }));
            let second = flights.join("a".to_owned(), async { Ok(2) });
            let mut second = Box::pin(second);
            assert!(futures_util::poll!(first.as_mut()).is_pending());
            assert!(futures_util::poll!(second.as_mut()).is_pending());
            drop(first);
            assert_eq!(second.await, Ok(2));
        });
        assert!(flights.0.lock().unwrap().is_empty());
    }
}
