//! Bounds the cost of evaluating expressions, independent of the size of the token.

use std::sync::atomic::{AtomicU32, Ordering};

use cel::common::ast::{CallExpr, ComprehensionExpr, EntryExpr, Expr, IdedExpr, LiteralValue, operators};

use super::functions;

/// The name of the variable that costs a step. It is not a valid CEL identifier, so no expression can use it.
pub(super) const STEP: &str = "@step";

/// Reading a text copies it, which costs a step for this many bytes.
const BYTES_PER_STEP: usize = 16;
/// A loop iteration may use the longest text that was read. It costs a further step for this many bytes of it.
const BYTES_PER_ITERATION_STEP: u32 = 256;

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

/// Rewrites an expression so that every loop iteration reads [`STEP`] first, and every call goes to a function
/// that takes time linear in the length of its arguments. The interpreter has no limits of its own.
pub(super) fn count_iterations(expression: &mut IdedExpr) {
    match &mut expression.expr {
        Expr::Call(call) => {
            functions::redirect(call);
            call.target.iter_mut().for_each(|target| count_iterations(target));
            call.args.iter_mut().for_each(count_iterations);
        }
        Expr::Comprehension(comprehension) => count_loop(comprehension),
        Expr::List(list) => list.elements.iter_mut().for_each(count_iterations),
        Expr::Map(map) => {
            for entry in &mut map.entries {
                if let EntryExpr::MapEntry(entry) = &mut entry.expr {
                    count_iterations(&mut entry.key);
                    count_iterations(&mut entry.value);
                }
            }
        }
        Expr::Select(select) => count_iterations(&mut select.operand),
        Expr::Ident(_) | Expr::Literal(_) | Expr::Struct(_) | Expr::Unspecified => {}
    }
}

fn count_loop(comprehension: &mut ComprehensionExpr) {
    count_iterations(&mut comprehension.iter_range);
    count_iterations(&mut comprehension.accu_init);
    count_iterations(&mut comprehension.loop_step);
    count_iterations(&mut comprehension.result);
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

/// `@step ? expression : null`: no operator absorbs an error in the condition of a conditional.
fn after_a_step(expression: &mut IdedExpr) {
    let id = expression.id;
    let step = IdedExpr { id, expr: Expr::Ident(STEP.to_owned()) };
    let never = IdedExpr { id, expr: Expr::Literal(LiteralValue::Null) };
    let args = vec![step, std::mem::take(expression), never];
    let call = CallExpr { func_name: operators::CONDITIONAL.to_owned(), target: None, args };
    *expression = IdedExpr { id, expr: Expr::Call(call) };
}
