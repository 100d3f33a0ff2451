//! Singleflight, as Go calls it: identical questions under way at the same time are asked once.
//!
//! Remembers nothing of an answer when nobody waits for it any more.

use std::collections::BTreeMap;
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::OnceCell;

use crate::registry::RegistryError;

type Call<T> = Arc<OnceCell<Result<T, RegistryError>>>;

/// Questions of one kind that are under way.
pub(super) struct Singleflight<T>(Mutex<BTreeMap<String, Call<T>>>);

impl<T> Default for Singleflight<T> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<T: Clone> Singleflight<T> {
    /// The answer to a question, from whoever asks it first. When that one is
    /// stopped, the next goes on in its place.
    pub(super) async fn join(
        &self,
        question: String,
        ask: impl Future<Output = Result<T, RegistryError>>,
    ) -> Result<T, RegistryError> {
        let waiting = Waiting { calls: self, call: self.enter(&question), question };
        waiting.call.get_or_init(|| ask).await.clone()
    }

    fn enter(&self, question: &str) -> Call<T> {
        let mut calls = self.0.lock();
        // One that has an answer is over: whoever comes now wants to know how it is now.
        if let Some(call) = calls.get(question).filter(|call| !call.initialized()) {
            return Arc::clone(call);
        }
        let call = Call::default();
        calls.insert(question.to_owned(), Arc::clone(&call));
        call
    }
}

/// One that waits for a call; the last to leave takes it off the list.
struct Waiting<'a, T> {
    calls: &'a Singleflight<T>,
    call: Call<T>,
    question: String,
}

impl<T> Drop for Waiting<'_, T> {
    fn drop(&mut self) {
        let mut calls = self.calls.0.lock();
        if let Some(listed) = calls.get(&self.question)
            && Arc::ptr_eq(listed, &self.call)
            // The list's and ours.
            && (self.call.initialized() || Arc::strong_count(&self.call) <= 2)
        {
            calls.remove(&self.question);
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
        let (calls, asked, gate) = (Singleflight::default(), AtomicUsize::new(0), Notify::new());
        let question = || {
            calls.join("a".to_owned(), async {
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
        assert!(calls.0.lock().is_empty());
    }

    #[test]
    fn whoever_waits_goes_on_when_the_first_is_stopped() {
        let calls = Singleflight::default();
        runtime().block_on(async {
            let mut first = Box::pin(calls.join("a".to_owned(), async { std::future::pending().await }));
            let second = calls.join("a".to_owned(), async { Ok(2) });
            let mut second = Box::pin(second);
            assert!(futures_util::poll!(first.as_mut()).is_pending());
            assert!(futures_util::poll!(second.as_mut()).is_pending());
            drop(first);
            assert_eq!(second.await, Ok(2));
        });
        assert!(calls.0.lock().is_empty());
    }
}
