//! The selection sets of a document, and the fields that operations reach through them.
//!
//! Operations share fragments, and fragments spread others: 63 operations over a fragment that
//! spreads 2,000 more need only 60 KB of text but have 130,000 spreads. So every selection set is parsed once
//! (names become numbers), an operation visits each set once, and all visits of a request share one budget.

use std::collections::HashMap;
use std::rc::Rc;

use apollo_parser::cst::{Selection, SelectionSet};

/// The most different top-level fields of one operation.
const MAX_FIELDS: usize = 128;

/// How often the operations of one request may together revisit selections. Hand-written documents do so a few
/// hundred times.
const MAX_REPEATS: usize = 100_000;

/// The index of a selection set in [`Selections::sets`].
pub(super) type SetId = usize;

/// How many selections of one request may still be visited.
#[derive(Debug)]
pub(super) struct Visits(usize);

impl Default for Visits {
    fn default() -> Self {
        Self(MAX_REPEATS)
    }
}

impl Visits {
    /// Adds one visit for each selection of a document.
    pub(super) fn allow(&mut self, selections: usize) {
        self.0 = self.0.saturating_add(selections);
    }

    fn take(&mut self, selections: usize) -> Result<(), &'static str> {
        self.0 = self.0.checked_sub(selections).ok_or("graphql: too many operations share fragments")?;
        Ok(())
    }
}

/// One selection set, without the selections below its fields. Names and sets are represented by their numbers.
#[derive(Debug, Default)]
struct Set {
    /// Each field once, by name and not by alias.
    fields: Vec<usize>,
    /// Inline fragments, and each spread fragment once.
    inner: Vec<Inner>,
}

#[derive(Clone, Copy, Debug)]
enum Inner {
    Inline(SetId),
    Spread(usize),
}

/// Numbers for the names of one kind.
#[derive(Debug, Default)]
struct Names {
    numbers: HashMap<Rc<str>, usize>,
    texts: Vec<Rc<str>>,
    /// For each name, the place where it was last seen.
    seen: Vec<usize>,
}

impl Names {
    fn number(&mut self, name: &str) -> usize {
        if let Some(number) = self.numbers.get(name) {
            return *number;
        }
        let (number, text) = (self.texts.len(), Rc::<str>::from(name));
        self.numbers.insert(text.clone(), number);
        self.texts.push(text);
        self.seen.push(usize::MAX);
        number
    }

    /// Whether this is the first time that a name is seen at `place`.
    fn is_new(&mut self, number: usize, place: usize) -> bool {
        self.seen.get_mut(number).is_some_and(|seen| std::mem::replace(seen, place) != place)
    }

    fn texts(&self, numbers: &[usize]) -> Vec<Box<str>> {
        numbers.iter().filter_map(|number| self.texts.get(*number)).map(|text| (&**text).into()).collect()
    }
}

/// The selection sets at the top level of the operations and fragments of a document.
#[derive(Debug, Default)]
pub(super) struct Selections {
    sets: Vec<Set>,
    fields: Names,
    fragments: Names,
    /// The set of each fragment by its number; `None` if the document does not define the fragment.
    defined: Vec<Option<SetId>>,
    /// How many selections there are.
    len: usize,
}

impl Selections {
    /// How many selections there are.
    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// Defines a fragment by its selection set. Returns `false` if a fragment of this name exists already.
    pub(super) fn define(&mut self, name: &str, set: SetId) -> bool {
        let number = self.fragments.number(name);
        if self.defined.len() <= number {
            self.defined.resize(number.saturating_add(1), None);
        }
        self.defined.get_mut(number).is_some_and(|slot| slot.replace(set).is_none())
    }

    /// Adds a selection set with its inline fragments. Returns `None` if a part of it has no name or no selections, which
    /// the parser reports as an error.
    pub(super) fn add(&mut self, top: SelectionSet) -> Option<SetId> {
        let first = self.sets.len();
        self.sets.push(Set::default());
        let mut waiting = vec![(first, top)];
        while let Some((id, selections)) = waiting.pop() {
            let set = self.read(id, &selections, &mut waiting)?;
            self.len =
                self.len.saturating_add(1).saturating_add(set.fields.len()).saturating_add(set.inner.len());
            if let Some(slot) = self.sets.get_mut(id) {
                *slot = set;
            }
        }
        Some(first)
    }

    fn read(
        &mut self,
        id: SetId,
        selections: &SelectionSet,
        waiting: &mut Vec<(SetId, SelectionSet)>,
    ) -> Option<Set> {
        let mut set = Set::default();
        for selection in selections.selections() {
            match selection {
                Selection::Field(field) => {
                    let number = self.fields.number(field.name()?.text().as_str());
                    if self.fields.is_new(number, id) {
                        set.fields.push(number);
                    }
                }
                Selection::InlineFragment(inline) => {
                    let inner = self.sets.len();
                    self.sets.push(Set::default());
                    waiting.push((inner, inline.selection_set()?));
                    set.inner.push(Inner::Inline(inner));
                }
                Selection::FragmentSpread(spread) => {
                    let number = self.fragments.number(spread.fragment_name()?.name()?.text().as_str());
                    if self.fragments.is_new(number, id) {
                        set.inner.push(Inner::Spread(number));
                    }
                }
            }
        }
        Some(set)
    }

    /// Every possible top-level field of an operation. Each fragment is visited once, so cycles end.
    ///
    /// # Errors
    /// If there are none or too many, or they cannot be determined.
    pub(super) fn fields(&mut self, top: SetId, visits: &mut Visits) -> Result<Vec<Box<str>>, &'static str> {
        const UNKNOWN: &str = "graphql: the fields cannot be told";
        let mut fields = Vec::new();
        // Every operation has its own top set, so this number is unique to the operation.
        let place = self.sets.len().saturating_add(top);
        let mut waiting = vec![top];
        while let Some(id) = waiting.pop() {
            let set = self.sets.get(id).ok_or(UNKNOWN)?;
            visits.take(set.fields.len().saturating_add(set.inner.len()).saturating_add(1))?;
            for number in &set.fields {
                if self.fields.is_new(*number, place) {
                    fields.push(*number);
                }
            }
            if fields.len() > MAX_FIELDS {
                return Err(UNKNOWN);
            }
            for inner in &set.inner {
                match *inner {
                    Inner::Inline(id) => waiting.push(id),
                    Inner::Spread(number) => {
                        let defined = self.defined.get(number).copied().flatten().ok_or(UNKNOWN)?;
                        if self.fragments.is_new(number, place) {
                            waiting.push(defined);
                        }
                    }
                }
            }
        }
        if fields.is_empty() { Err(UNKNOWN) } else { Ok(self.fields.texts(&fields)) }
    }
}
