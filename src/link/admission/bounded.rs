//! Memory that forgets the oldest.

use std::collections::{HashMap, VecDeque};
use std::hash::Hash;

use crate::link::stun::Transaction;
use crate::time::Instant;

/// Transactions with something about each, at most so many: the oldest makes room.
#[derive(Debug)]
pub(super) struct Transactions<T> {
    most: usize,
    known: HashMap<Transaction, T>,
    /// In the order of their coming; those that were taken out may still be named.
    order: VecDeque<Transaction>,
}

impl<T> Transactions<T> {
    pub(super) fn new(most: usize) -> Self {
        Self { most, known: HashMap::new(), order: VecDeque::new() }
    }

    pub(super) fn get(&self, transaction: &Transaction) -> Option<&T> {
        self.known.get(transaction)
    }

    /// One that is known already keeps its place.
    pub(super) fn insert(&mut self, transaction: Transaction, value: T) {
        if self.known.insert(transaction, value).is_some() {
            return;
        }
        if self.order.len() == self.most
            && let Some(oldest) = self.order.pop_front()
        {
            self.known.remove(&oldest);
        }
        self.order.push_back(transaction);
    }

    pub(super) fn remove(&mut self, transaction: &Transaction) {
        self.known.remove(transaction);
    }

    pub(super) fn clear(&mut self) {
        self.known.clear();
        self.order.clear();
    }

    #[cfg(any(test, feature = "fault-injection"))]
    pub(super) fn len(&self) -> usize {
        self.order.len()
    }
}

/// What is known of each key, at most of so many: the one that was not used for longest makes room.
#[derive(Debug)]
pub(super) struct Recent<K, V> {
    most: usize,
    known: HashMap<K, (V, Instant)>,
}

impl<K: Copy + Eq + Hash, V> Recent<K, V> {
    pub(super) fn new(most: usize) -> Self {
        Self { most, known: HashMap::new() }
    }

    /// Looking is using.
    pub(super) fn get(&mut self, key: &K, now: Instant) -> Option<&V> {
        let (value, used) = self.known.get_mut(key)?;
        *used = now;
        Some(value)
    }

    pub(super) fn insert(&mut self, key: K, value: V, now: Instant) {
        if self.known.len() >= self.most
            && !self.known.contains_key(&key)
            && let Some((oldest, _)) = self.known.iter().min_by_key(|(_, (_, used))| *used)
        {
            let oldest = *oldest;
            self.known.remove(&oldest);
        }
        self.known.insert(key, (value, now));
    }

    #[cfg(any(test, feature = "fault-injection"))]
    pub(super) fn len(&self) -> usize {
        self.known.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_is_forgotten_and_a_repetition_takes_no_room() {
        let mut transactions = Transactions::new(3);
        for number in [1, 2, 2, 3, 4] {
            transactions.insert([number; 12], number);
        }
        assert_eq!(transactions.get(&[1; 12]), None);
        for number in 2..=4 {
            assert_eq!(transactions.get(&[number; 12]), Some(&number));
        }
        transactions.remove(&[3; 12]);
        for number in 0..100 {
            transactions.insert([number; 12], number);
            assert!(transactions.len() <= 3 && transactions.known.len() <= 3);
        }
    }
}
