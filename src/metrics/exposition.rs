//! The two text formats of the exposition.

/// A format that a scrape can ask for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ExpositionFormat {
    /// The Prometheus text format 0.0.4.
    Text,
    /// OpenMetrics 1.0.
    OpenMetrics,
}

impl ExpositionFormat {
    /// The format for a request with this `Accept`: OpenMetrics only if it is asked for by name.
    pub fn accepted(accept: &str) -> Self {
        let is_asked_for = |range: &str| {
            let mut parts = range.split(';').map(str::trim);
            let is_type =
                parts.next().is_some_and(|name| name.eq_ignore_ascii_case("application/openmetrics-text"));
            let is_refused = |part: &str| matches!(part.split_once('='), Some(("q", q)) if zero(q));
            is_type && !parts.any(is_refused)
        };
        if accept.split(',').any(is_asked_for) { Self::OpenMetrics } else { Self::Text }
    }

    /// The value of `Content-Type`.
    pub const fn media_type(self) -> &'static str {
        match self {
            Self::Text => "text/plain; version=0.0.4; charset=utf-8",
            Self::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
        }
    }
}

fn zero(quality: &str) -> bool {
    quality.parse::<f32>().is_ok_and(|quality| quality == 0.0)
}

/// OpenMetrics as the text format 0.0.4. There a counter's family has the name of its samples, with `_total`; there is no
/// `# UNIT` and no `# EOF`; and help texts escape no quotes.
pub(super) fn text_format(openmetrics: &str) -> String {
    let mut text = String::with_capacity(openmetrics.len());
    let mut help: Option<(&str, &str)> = None;
    for line in openmetrics.lines() {
        if let Some(rest) = line.strip_prefix("# HELP ") {
            // Written with the type, which follows.
            help = rest.split_once(' ');
        } else if let Some((name, kind)) = line.strip_prefix("# TYPE ").and_then(|rest| rest.split_once(' '))
        {
            let total = if kind == "counter" { "_total" } else { "" };
            if let Some((_, help)) = help.take().filter(|(of, _)| *of == name) {
                let help = help.replace("\\\"", "\"");
                text.extend(["# HELP ", name, total, " ", &help, "\n"]);
            }
            text.extend(["# TYPE ", name, total, " ", kind, "\n"]);
        } else if !line.starts_with('#') {
            text.extend([line, "\n"]);
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn openmetrics_is_sent_only_if_it_is_asked_for() {
        for (accept, format) in [
            ("", ExpositionFormat::Text),
            ("*/*", ExpositionFormat::Text),
            ("text/plain;version=0.0.4;q=0.9,*/*;q=0.1", ExpositionFormat::Text),
            ("application/openmetrics-text;q=0, text/plain", ExpositionFormat::Text),
            ("application/openmetrics-text", ExpositionFormat::OpenMetrics),
            // Prometheus 3.
            (
                "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,text/plain;version=0.0.4;q=0.4,*/*;q=0.2",
                ExpositionFormat::OpenMetrics,
            ),
        ] {
            assert_eq!(ExpositionFormat::accepted(accept), format, "{accept}");
        }
    }

    #[test]
    fn the_text_format_has_the_names_of_the_samples() {
        let openmetrics = "# HELP a_b_seconds Quotes \\\" and \\\\.\n# TYPE a_b_seconds counter\n# UNIT a_b_seconds seconds\na_b_seconds_total{c=\"# \\\"\"} 1.5\n# HELP d Gauge.\n# TYPE d gauge\nd 1\n# EOF\n";
        let text = "# HELP a_b_seconds_total Quotes \" and \\\\.\n# TYPE a_b_seconds_total counter\na_b_seconds_total{c=\"# \\\"\"} 1.5\n# HELP d Gauge.\n# TYPE d gauge\nd 1\n";
        assert_eq!(text_format(openmetrics), text);
    }
}
