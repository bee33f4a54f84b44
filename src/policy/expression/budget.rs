//! What evaluating may cost, however large a token is.

use std::sync::atomic::{AtomicU32, Ordering};

use cel::common::ast::{CallExpr, ComprehensionExpr, EntryExpr, Expr, IdedExpr, LiteralValue, operators};

use super::functions;

/// The name of the variable that costs a step. No expression can spell it.
pub(super) const STEP: &str = "@step";

/// How many bytes of a text are one step: it is copied.
const BYTES_OF_STEP: usize = 16;
/// And of the longest text, on each turn of a loop: whatever the turn does may be done with that.
const BYTES_OF_TURN: u32 = 256;

/// How many steps are left for all expressions of one decision.
#[derive(Debug)]
pub struct Budget {
    left: AtomicU32,
    /// The length of the longest text that was looked at.
    longest: AtomicU32,
}

impl Budget {
    /// Far more than any rule needs: a loop over every group of a large token is a thousand.
    pub const STEPS: u32 = 20_000;

    /// Takes steps.
    pub fn spend(&self, steps: u32) {
        let left = self.left.load(Ordering::Relaxed);
        self.left.store(left.saturating_sub(steps), Ordering::Relaxed);
    }

    /// Takes the steps of looking at a text that a client chose.
    pub(super) fn spend_on_text(&self, bytes: usize) {
        self.spend(u32::try_from(bytes / BYTES_OF_STEP).unwrap_or(u32::MAX));
        self.longest.fetch_max(u32::try_from(bytes).unwrap_or(u32::MAX), Ordering::Relaxed);
    }

    /// Takes the steps of one turn of a loop.
    pub(super) fn spend_on_turn(&self) {
        self.spend((self.longest.load(Ordering::Relaxed) / BYTES_OF_TURN).saturating_add(1));
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

/// Has every turn of every loop look at [`STEP`] first, and every call go to a function that takes time
/// in proportion to its texts. The interpreter has no limits of its own.
pub(super) fn count_turns(expression: &mut IdedExpr) {
    match &mut expression.expr {
        Expr::Call(call) => {
            functions::redirect(call);
            call.target.iter_mut().for_each(|target| count_turns(target));
            call.args.iter_mut().for_each(count_turns);
        }
        Expr::Comprehension(comprehension) => count_loop(comprehension),
        Expr::List(list) => list.elements.iter_mut().for_each(count_turns),
        Expr::Map(map) => {
            for entry in &mut map.entries {
                if let EntryExpr::MapEntry(entry) = &mut entry.expr {
                    count_turns(&mut entry.key);
                    count_turns(&mut entry.value);
                }
            }
        }
        Expr::Select(select) => count_turns(&mut select.operand),
        Expr::Ident(_) | Expr::Literal(_) | Expr::Struct(_) | Expr::Unspecified => {}
    }
}

fn count_loop(comprehension: &mut ComprehensionExpr) {
    count_turns(&mut comprehension.iter_range);
    count_turns(&mut comprehension.accu_init);
    count_turns(&mut comprehension.loop_step);
    count_turns(&mut comprehension.result);
    // The interpreter grows the lists of `map` and `filter` in place where their condition is a
    // literal, and copies them on every turn where it is not. So these count in the step.
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

/// `@step ? expression : null`: the conditional is the operator whose error nothing absorbs.
fn after_a_step(expression: &mut IdedExpr) {
    let id = expression.id;
    let step = IdedExpr { id, expr: Expr::Ident(STEP.to_owned()) };
    let never = IdedExpr { id, expr: Expr::Literal(LiteralValue::Null) };
    let args = vec![step, std::mem::take(expression), never];
    let call = CallExpr { func_name: operators::CONDITIONAL.to_owned(), target: None, args };
    *expression = IdedExpr { id, expr: Expr::Call(call) };
}
