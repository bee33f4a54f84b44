//! Which traces are recorded.

use crate::config::{RootSampler, Sampler};
use crate::trace_context::{TraceContext, TraceId};

/// Whether the spans of a trace are recorded. `incoming` is the context of a trace that was begun elsewhere.
pub(super) fn is_sampled(sampler: Sampler, incoming: Option<TraceContext>, trace_id: &TraceId) -> bool {
    match (incoming, sampler.root) {
        (Some(context), _) if sampler.parent_based => context.is_sampled(),
        (_, RootSampler::On) => true,
        (_, RootSampler::Off) => false,
        (_, RootSampler::Ratio(ratio)) => is_in_part(ratio, trace_id),
    }
}

/// Decides by the trace ID, as other implementations do, so that all who sample the same part record the same traces.
fn is_in_part(ratio: f64, trace_id: &TraceId) -> bool {
    let [.., a, b, c, d, e, f, g, h] = *trace_id;
    let number = u64::from_be_bytes([a, b, c, d, e, f, g, h]) >> 1;
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "from 0 to 2^63")]
    let bound = (ratio * (1_u64 << 63) as f64) as u64;
    number < bound
}

#[cfg(test)]
mod tests {
    use super::*;

    fn trace_id(low: u64) -> TraceId {
        (u128::MAX << 64 | u128::from(low)).to_be_bytes()
    }

    #[test]
    fn a_part_is_chosen_by_the_trace_id() {
        for (ratio, low, expected) in [
            (0.0, 0, false),
            (1.0, u64::MAX, true),
            (0.5, u64::MAX / 2 - 1, true),
            (0.5, u64::MAX / 2 + 2, false),
            (0.25, u64::MAX / 4 - 3, true),
            (0.25, u64::MAX / 2, false),
        ] {
            assert_eq!(is_in_part(ratio, &trace_id(low)), expected, "{ratio} {low:x}");
        }
    }

    #[test]
    fn a_parent_decides_only_if_the_sampler_asks_it() {
        let sent = |flags| Some(TraceContext { trace_id: trace_id(0), parent_id: [1; 8], flags });
        for (parent_based, root, incoming, expected) in [
            (true, RootSampler::On, sent(0), false),
            (true, RootSampler::Off, sent(1), true),
            (true, RootSampler::Ratio(0.0), sent(1), true),
            (true, RootSampler::Ratio(1.0), sent(0), false),
            (true, RootSampler::On, None, true),
            (true, RootSampler::Off, None, false),
            (true, RootSampler::Ratio(0.0), None, false),
            (false, RootSampler::On, sent(0), true),
            (false, RootSampler::Off, sent(1), false),
            (false, RootSampler::Ratio(0.0), sent(1), false),
            (false, RootSampler::Ratio(1.0), sent(0), true),
        ] {
            let sampler = Sampler { parent_based, root };
            assert_eq!(is_sampled(sampler, incoming, &trace_id(0)), expected, "{sampler:?} {incoming:?}");
        }
    }
}
