//! Caches what each rule says of each part of a request's interpretations.
//!
//! The parts multiply: thousands of interpretations may share a token with a thousand roles. Each rule is evaluated
//! once for the token, each combination of parameters and each GraphQL field, so the work grows with the size of the
//! request and not with the product of its parts.

use std::cell::Cell;

use super::interpretation::PartIndexes;

/// The cached answers of the rules that may apply to a request.
#[derive(Debug, Default)]
pub(super) struct Answers {
    /// Whether the rule is about the token's issuer.
    pub(super) is_from: Table,
    /// Whether a combination of parameters has those that the rule names.
    pub(super) has_query: Table,
    /// Whether the rule selects a GraphQL operation and field.
    pub(super) selects: Table,
    /// Whether the token meets the rule's requirement.
    pub(super) is_met: Table,
}

impl Answers {
    /// An empty cache for this many rules and parts.
    pub(super) fn new(rules: usize, parts: PartIndexes) -> Self {
        Self {
            is_from: Table::new(rules, 1),
            has_query: Table::new(rules, parts.parameters),
            selects: Table::new(rules, parts.operation),
            is_met: Table::new(rules, 1),
        }
    }
}

/// Answers by rule and part. A table of size zero caches nothing.
#[derive(Debug, Default)]
pub(super) struct Table {
    parts: usize,
    answers: Vec<Cell<Option<bool>>>,
}

impl Table {
    fn new(rules: usize, parts: usize) -> Self {
        Self { parts, answers: vec![Cell::new(None); rules.saturating_mul(parts)] }
    }

    /// The answer of a rule for a part, evaluated on first use.
    pub(super) fn get(&self, rule: Option<usize>, part: usize, evaluate: impl FnOnce() -> bool) -> bool {
        let row = rule.filter(|_| part < self.parts).and_then(|rule| rule.checked_mul(self.parts));
        let cell = row.and_then(|row| self.answers.get(row.checked_add(part)?));
        let Some(cell) = cell else { return evaluate() };
        match cell.get() {
            Some(answer) => answer,
            None => {
                let answer = evaluate();
                cell.set(Some(answer));
                answer
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_answer_is_evaluated_once() {
        let evaluated = Cell::new(0);
        let table = Table::new(2, 3);
        for _ in 0..4 {
            for (rule, part) in [(0, 0), (0, 2), (1, 0), (1, 2)] {
                let answer = table.get(Some(rule), part, || {
                    evaluated.set(evaluated.get() + 1);
                    rule == part
                });
                assert_eq!(answer, rule == part);
            }
        }
        assert_eq!(evaluated.get(), 4);
    }

    #[test]
    fn an_index_outside_the_table_is_evaluated_each_time() {
        let table = Table::new(2, 1);
        for (rule, part) in [(None, 0), (Some(0), 1), (Some(1), 1), (Some(2), 0), (Some(usize::MAX), 0)] {
            assert!(table.get(rule, part, || true));
            assert!(!table.get(rule, part, || false), "{rule:?} {part}");
        }
    }
}
