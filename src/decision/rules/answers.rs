//! What rules said of the parts of a request's interpretations.
//!
//! The parts multiply: thousands of interpretations may have one path of 8 KiB and a token with a thousand
//! roles. Each rule is held against each path, each combination of parameters and each field once,
//! so that the work grows with the request and not with the product of its parts.

use std::cell::Cell;

use super::interpretation::PartIndexes;

/// For each rule its answers.
#[derive(Debug, Default)]
pub(super) struct Answers {
    /// Whether it is about a path, and about the method, the host and the token besides.
    pub(super) is_about: Table,
    /// Whether a combination of parameters has those that it names.
    pub(super) has_query: Table,
    /// Whether it is about what is asked of a GraphQL endpoint.
    pub(super) asks: Table,
    /// Whether the token meets it.
    pub(super) is_met: Table,
}

impl Answers {
    /// Room for the answers of so many rules to so many parts.
    pub(super) fn new(rules: usize, parts: PartIndexes) -> Self {
        let once = if parts.path == 0 { 0 } else { 1 };
        Self {
            is_about: Table::new(rules, parts.path),
            has_query: Table::new(rules, parts.parameters),
            asks: Table::new(rules, parts.asked),
            is_met: Table::new(rules, once),
        }
    }
}

/// Answers by rule and part. Without room it keeps none.
#[derive(Debug, Default)]
pub(super) struct Table {
    parts: usize,
    answers: Vec<Cell<Option<bool>>>,
}

impl Table {
    fn new(rules: usize, parts: usize) -> Self {
        Self { parts, answers: vec![Cell::new(None); rules.saturating_mul(parts)] }
    }

    /// The answer of a rule to a part, found out where it is not known yet.
    pub(super) fn get(&self, rule: Option<usize>, part: usize, find_out: impl FnOnce() -> bool) -> bool {
        let place = rule.filter(|_| part < self.parts).and_then(|rule| rule.checked_mul(self.parts));
        let kept = place.and_then(|place| self.answers.get(place.checked_add(part)?));
        let Some(kept) = kept else { return find_out() };
        match kept.get() {
            Some(answer) => answer,
            None => {
                let answer = find_out();
                kept.set(Some(answer));
                answer
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_question_is_asked_once() {
        let asked = Cell::new(0);
        let table = Table::new(2, 3);
        for _ in 0..4 {
            for (rule, part) in [(0, 0), (0, 2), (1, 0), (1, 2)] {
                let answer = table.get(Some(rule), part, || {
                    asked.set(asked.get() + 1);
                    rule == part
                });
                assert_eq!(answer, rule == part);
            }
        }
        assert_eq!(asked.get(), 4);
    }

    #[test]
    fn what_has_no_room_is_asked_each_time() {
        let table = Table::new(1, 1);
        for (rule, part) in [(None, 0), (Some(0), 1), (Some(1), 0), (Some(usize::MAX), 0)] {
            assert!(table.get(rule, part, || true));
            assert!(!table.get(rule, part, || false), "{rule:?} {part}");
        }
    }
}
