//! Bounds the cost of evaluating expressions, independent of the size of the token.

use std::sync::atomic::{AtomicU32, Ordering};

use cel::common::ast::{CallExpr, ComprehensionExpr, EntryExpr, Expr, IdedExpr, LiteralValue, operators};
use cel::common::types::{CelList, CelMap};
use cel::common::value::Val;

use super::functions;

/// The name of the variable that costs a step. It is not a valid CEL identifier, so no expression can use it.
pub(super) const STEP: &str = "@step";
/// The name of the container in which every value is, for the steps that it weighs.
pub(super) const SCALE: &str = "@scale";

/// Reading a text copies it, which costs a step for this many bytes.
const BYTES_PER_STEP: usize = 16;
/// A loop iteration may use the longest text that was read. It costs a further step for this many bytes of it.
const BYTES_PER_ITERATION_STEP: u32 = 256;
/// Using a list or a map in a loop costs a step for this many of its parts.
const PARTS_PER_STEP: usize = 16;

/// The steps that are left for all expressions of one decision.
#[derive(Debug)]
pub struct Budget {
    left: AtomicU32,
    /// The length of the longest text that was read.
    longest: AtomicU32,
}

impl Budget {
    /// Far more than any rule needs: a loop over every group of a large token takes a thousand.
    pub const STEPS: u32 = 20_000;

    /// Spends steps.
    pub fn spend(&self, steps: u32) {
        let left = self.left.load(Ordering::Relaxed);
        self.left.store(left.saturating_sub(steps), Ordering::Relaxed);
    }

    /// Spends the steps of reading a text that a client chose.
    pub(super) fn spend_on_text(&self, bytes: usize) {
        self.spend(u32::try_from(bytes / BYTES_PER_STEP).unwrap_or(u32::MAX));
        self.longest.fetch_max(u32::try_from(bytes).unwrap_or(u32::MAX), Ordering::Relaxed);
    }

    /// Spends the steps of one loop iteration.
    pub(super) fn spend_on_iteration(&self) {
        self.spend((self.longest.load(Ordering::Relaxed) / BYTES_PER_ITERATION_STEP).saturating_add(1));
    }

    /// Spends the steps of using a value in a loop iteration.
    pub(super) fn spend_on_use(&self, value: &dyn Val) {
        let left = usize::try_from(self.left.load(Ordering::Relaxed)).unwrap_or(usize::MAX);
        let parts = parts(value, left.saturating_add(1).saturating_mul(PARTS_PER_STEP));
        self.spend(u32::try_from(parts / PARTS_PER_STEP).unwrap_or(u32::MAX));
    }

    /// Whether none are left.
    pub fn is_spent(&self) -> bool {
        self.left.load(Ordering::Relaxed) == 0
    }
}

impl Default for Budget {
    fn default() -> Self {
        Self { left: AtomicU32::new(Self::STEPS), longest: AtomicU32::new(0) }
    }
}

/// How many values are in a value, at all depths. Stops counting at `most`.
fn parts(value: &dyn Val, most: usize) -> usize {
    let mut count = 0;
    let mut add = |part: &dyn Val| {
        count += 1;
        if count < most {
            count += parts(part, most - count);
        }
        count < most
    };
    if let Some(list) = value.downcast_ref::<CelList>() {
        let _ = list.inner().iter().all(|item| add(item.as_ref()));
    } else if let Some(map) = value.downcast_ref::<CelMap>() {
        let _ = map.inner().values().all(|member| add(member.as_ref()));
    }
    count
}

/// Rewrites an expression so that its evaluation spends the budget. The interpreter has no limits of its own.
///
/// 1. Every loop iteration reads [`STEP`] first.
/// 2. What a loop's variable leads to (`x`, `x.roles`, `x[0]`) is weighed with [`SCALE`] wherever it could be compared,
///    searched or copied: it was read before the loop, and each iteration may use all of it. Of a part with a computed
///    index (`x.roles[i]`) what the index selects from is weighed.
/// 3. Every call goes to a function that takes time linear in the length of its arguments.
pub(super) fn count(expression: &mut IdedExpr) {
    Counter::default().visit(expression);
}

/// The variables of the loops around an expression.
#[derive(Default)]
struct Counter(Vec<String>);

impl Counter {
    fn visit(&mut self, expression: &mut IdedExpr) {
        if self.is_of_a_loop(expression) {
            self.visit_indices(expression);
            weighed(expression);
            return;
        }
        match &mut expression.expr {
            Expr::Call(call) => self.call(call),
            Expr::Comprehension(comprehension) => self.count_loop(comprehension),
            Expr::List(list) => list.elements.iter_mut().for_each(|element| self.visit(element)),
            Expr::Map(map) => {
                for entry in &mut map.entries {
                    if let EntryExpr::MapEntry(entry) = &mut entry.expr {
                        self.visit(&mut entry.key);
                        self.visit(&mut entry.value);
                    }
                }
            }
            Expr::Select(select) => self.unweighed(&mut select.operand),
            Expr::Ident(_) | Expr::Literal(_) | Expr::Struct(_) | Expr::Unspecified => {}
        }
    }

    fn call(&mut self, call: &mut CallExpr) {
        functions::redirect(call);
        // The text of a member function is charged for by its length.
        call.target.iter_mut().for_each(|target| self.unweighed(target));
        // Comparing anything with a number or a text costs no more than that is long.
        let is_comparison = matches!(call.func_name.as_str(), operators::EQUALS | operators::NOT_EQUALS);
        let has_literal = call.args.iter().any(|arg| matches!(arg.expr, Expr::Literal(_)));
        let is_search = call.func_name == operators::IN;
        for (number, arg) in call.args.iter_mut().enumerate() {
            if is_comparison && has_literal || is_search && number == 0 {
                self.unweighed(arg);
            } else {
                self.visit(arg);
            }
        }
    }

    /// Visits an operand that is not weighed itself.
    fn unweighed(&mut self, expression: &mut IdedExpr) {
        if self.is_of_a_loop(expression) {
            self.visit_indices(expression);
        } else {
            self.visit(expression);
        }
    }

    /// Whether it is the variable of a loop, or a part of it.
    fn is_of_a_loop(&self, expression: &IdedExpr) -> bool {
        match &expression.expr {
            Expr::Ident(name) => self.0.contains(name),
            Expr::Select(select) => !select.test && self.is_of_a_loop(&select.operand),
            Expr::Call(call) if call.func_name == operators::INDEX => {
                call.args.first().is_some_and(|indexed| self.is_of_a_loop(indexed))
            }
            _ => false,
        }
    }

    /// Visits the indices in a part of a loop's variable.
    fn visit_indices(&mut self, part: &mut IdedExpr) {
        match &mut part.expr {
            Expr::Select(select) => self.visit_indices(&mut select.operand),
            Expr::Call(call) => {
                if let [indexed, index] = &mut call.args[..] {
                    self.visit_indices(indexed);
                    self.visit(index);
                }
            }
            _ => {}
        }
    }

    fn count_loop(&mut self, comprehension: &mut ComprehensionExpr) {
        self.visit(&mut comprehension.iter_range);
        self.visit(&mut comprehension.accu_init);
        let outside = self.0.len();
        self.0.push(comprehension.iter_var.clone());
        self.0.extend(comprehension.iter_var2.clone());
        self.visit(&mut comprehension.loop_cond);
        self.visit(&mut comprehension.loop_step);
        self.0.truncate(outside);
        self.visit(&mut comprehension.result);
        // The interpreter grows the lists of `map` and `filter` in place only if the loop condition is a literal;
        // otherwise it copies them on every iteration. So for these the counter goes into the loop step.
        let grows = matches!(comprehension.loop_cond.expr, Expr::Literal(_));
        let counted = if grows { &mut comprehension.loop_step } else { &mut comprehension.loop_cond };
        match &mut counted.expr {
            Expr::Call(call) if grows && call.func_name == operators::CONDITIONAL => {
                call.args.first_mut().into_iter().for_each(after_a_step);
            }
            Expr::Call(call) if grows && call.func_name == operators::ADD => {
                match call.args.last_mut().map(|items| &mut items.expr) {
                    Some(Expr::List(items)) => items.elements.first_mut().into_iter().for_each(after_a_step),
                    _ => after_a_step(counted),
                }
            }
            _ => after_a_step(counted),
        }
    }
}

/// `@step ? expression : null`: no operator absorbs an error in the condition of a conditional.
fn after_a_step(expression: &mut IdedExpr) {
    let step = IdedExpr { id: expression.id, expr: Expr::Ident(STEP.to_owned()) };
    only_if(step, expression);
}

/// `(part in @scale) ? expression : null`, where `part` is [`fixed_part`]. Reading a variable of a loop twice copies nothing.
fn weighed(expression: &mut IdedExpr) {
    let scale = IdedExpr { id: expression.id, expr: Expr::Ident(SCALE.to_owned()) };
    let args = vec![fixed_part(expression).clone(), scale];
    let call = CallExpr { func_name: operators::IN.to_owned(), target: None, args };
    only_if(IdedExpr { id: expression.id, expr: Expr::Call(call) }, expression);
}

/// What an expression selects from, up to its first computed index. Indices are rewritten too: with a copy of them, an
/// expression would double with each level of nested ones.
fn fixed_part(expression: &IdedExpr) -> &IdedExpr {
    let (operand, is_fixed) = match &expression.expr {
        Expr::Select(select) => (&*select.operand, true),
        Expr::Call(call) => match &call.args[..] {
            [indexed, index] => (indexed, matches!(index.expr, Expr::Literal(_))),
            _ => return expression,
        },
        _ => return expression,
    };
    let part = fixed_part(operand);
    if is_fixed && std::ptr::eq(part, operand) { expression } else { part }
}

fn only_if(condition: IdedExpr, expression: &mut IdedExpr) {
    let id = expression.id;
    let never = IdedExpr { id, expr: Expr::Literal(LiteralValue::Null) };
    let args = vec![condition, std::mem::take(expression), never];
    let call = CallExpr { func_name: operators::CONDITIONAL.to_owned(), target: None, args };
    *expression = IdedExpr { id, expr: Expr::Call(call) };
}

#[cfg(test)]
mod tests;
