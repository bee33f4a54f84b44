//! The macro that defines the metrics: each entry becomes a field, its registration and its row in the reference.

use prometheus_client::metrics::MetricType;
use prometheus_client::registry::{Metric, Registry, Unit};

/// One metric, as it is registered and documented.
#[derive(Debug)]
pub struct Definition {
    pub(super) name: &'static str,
    pub(super) unit: Option<Unit>,
    pub(super) kind: MetricType,
    /// The names of its labels.
    pub labels: &'static [&'static str],
    /// The help text, without its full stop.
    pub help: &'static str,
}

impl Definition {
    /// The name in the exposition, with prefix, unit and the `_total` of a counter.
    pub fn exposed_name(&self) -> String {
        let unit = self.unit.as_ref().map(|unit| format!("_{}", unit.as_str())).unwrap_or_default();
        let total = if matches!(self.kind, MetricType::Counter) { "_total" } else { "" };
        format!("metagate_{}{unit}{total}", self.name)
    }

    /// `counter`, `gauge` or `histogram`.
    pub fn type_name(&self) -> &str {
        self.kind.as_str()
    }

    pub(super) fn register(&self, registry: &mut Registry, metric: impl Metric) {
        match &self.unit {
            Some(unit) => registry.register_with_unit(self.name, self.help, unit.clone(), metric),
            None => registry.register(self.name, self.help, metric),
        }
    }
}

/// Defines `Metrics` from entries `name: Instrument, "help";`. A unit follows the name (`in Seconds`). An expression
/// after the type (`= expression`) creates an instrument that has no default.
macro_rules! metrics {
    (@make) => { Default::default() };
    (@make $make:expr) => { $make };
    (@define $name:ident $(in $unit:ident)?: $instrument:ty, $help:literal) => {
        Definition {
            name: stringify!($name),
            unit: None$(.or(Some(Unit::$unit)))?,
            kind: <$instrument as TypedMetric>::TYPE,
            labels: <$instrument as Labelled>::LABELS,
            help: $help,
        }
    };
    ($($visible:vis $name:ident $(in $unit:ident)?: $instrument:ty $(= $make:expr)?, $help:literal;)+) => {
        /// Every metric of the process.
        #[derive(Debug)]
        pub struct Metrics {
            registry: Registry,
            $(#[doc = $help] $visible $name: $instrument,)+
        }

        impl Metrics {
            /// Every definition, in the order of the exposition.
            pub fn definitions() -> Vec<Definition> {
                vec![$(metrics!(@define $name $(in $unit)?: $instrument, $help)),+]
            }

            fn registered() -> Self {
                let mut root = Registry::default();
                let registry = root.sub_registry_with_prefix("metagate");
                $(
                    let $name: $instrument = metrics!(@make $($make)?);
                    metrics!(@define $name $(in $unit)?: $instrument, $help)
                        .register(registry, $name.clone());
                )+
                root.register_collector(Box::new(process::Process::starting()));
                Self { registry: root, $($name),+ }
            }
        }
    };
}
pub(super) use metrics;
