//! What the models have in place of arc-swap, whose atomics the model checker does not see.

use std::ops::Deref;
use std::sync::{Arc, PoisonError};

use shuttle::sync::{Mutex, MutexGuard};

/// What was loaded.
#[derive(Debug)]
pub struct Guard<T>(T);

impl<T> Deref for Guard<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0
    }
}

/// A shared value that is replaced as a whole.
#[derive(Debug, Default)]
pub struct ArcSwap<T>(Mutex<Arc<T>>);

impl<T> ArcSwap<T> {
    pub fn new(value: Arc<T>) -> Self {
        Self(Mutex::new(value))
    }

    pub fn from_pointee(value: T) -> Self {
        Self::new(Arc::new(value))
    }

    pub fn load(&self) -> Guard<Arc<T>> {
        Guard(self.load_full())
    }

    pub fn load_full(&self) -> Arc<T> {
        self.value().clone()
    }

    pub fn store(&self, value: Arc<T>) {
        self.swap(value);
    }

    pub fn swap(&self, value: Arc<T>) -> Arc<T> {
        std::mem::replace(&mut self.value(), value)
    }

    fn value(&self) -> MutexGuard<'_, Arc<T>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
