//! The names in a PromQL expression. promtool checks the rest.

/// Where a metric is selected.
#[derive(Debug, PartialEq, Eq)]
pub struct Selector {
    pub metric: String,
    pub matchers: Vec<Matcher>,
}

/// A condition on a label.
#[derive(Debug, PartialEq, Eq)]
pub struct Matcher {
    pub label: String,
    /// Its value; the alternatives of a regular expression.
    pub values: Vec<String>,
}

/// What an expression names.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Names {
    pub selectors: Vec<Selector>,
    /// The labels of `by`, `on` and the like.
    pub labels: Vec<String>,
}

const WORDS: [&str; 6] = ["and", "or", "unless", "offset", "bool", "atan2"];
const WITH_LABELS: [&str; 6] = ["by", "without", "on", "ignoring", "group_left", "group_right"];

/// The names in an expression, or in several with a line each.
pub fn names(expression: &str) -> Names {
    let without_comments: Vec<&str> =
        expression.lines().filter(|line| !line.trim_start().starts_with('#')).collect();
    let text = without_comments.join("\n");
    let mut rest = &*text;
    let mut names = Names::default();
    while let Some(first) = rest.chars().next() {
        if first.is_ascii_digit() {
            // A number or a duration, with its letters.
            rest = rest.trim_start_matches(|c: char| c.is_ascii_alphanumeric() || c == '.');
        } else if is_name(first) {
            let word = word(&mut rest);
            let next = rest.trim_start();
            if WITH_LABELS.contains(&word) {
                if let Some(list) = next.strip_prefix('(') {
                    let (list, after) = list.split_once(')').expect("the end of a list of labels");
                    names.labels.extend(list.split(',').map(|label| label.trim().to_owned()));
                    rest = after;
                }
            } else if let Some(matchers) = next.strip_prefix('{') {
                let (matchers, after) = self::matchers(matchers);
                names.selectors.push(Selector { metric: word.to_owned(), matchers });
                rest = after;
            } else if !is_function(next) && !WORDS.contains(&word) {
                names.selectors.push(Selector { metric: word.to_owned(), matchers: Vec::new() });
            }
        } else {
            rest = &rest[first.len_utf8()..];
        }
    }
    names
}

/// Whether what follows a word makes it a function or an aggregation.
fn is_function(next: &str) -> bool {
    next.starts_with('(') || ["by (", "by(", "without (", "without("].iter().any(|by| next.starts_with(by))
}

fn is_name(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_' || c == ':'
}

fn word<'t>(rest: &mut &'t str) -> &'t str {
    let end = rest.find(|c| !is_name(c)).unwrap_or(rest.len());
    let (word, after) = rest.split_at(end);
    *rest = after;
    word
}

/// The matchers up to the closing brace, and what follows it.
fn matchers(mut rest: &str) -> (Vec<Matcher>, &str) {
    let mut matchers = Vec::new();
    loop {
        rest = rest.trim_start_matches([',', ' ', '\n']);
        if let Some(after) = rest.strip_prefix('}') {
            return (matchers, after);
        }
        let label = word(&mut rest).to_owned();
        let is_regex = ["=~", "!~"].iter().any(|operator| rest.starts_with(operator));
        let (_, value) = rest.split_once('"').expect("a quoted value");
        let (value, after) = value.split_once('"').expect("the end of a value");
        rest = after;
        let values = if is_regex { value.split('|').collect() } else { vec![value] };
        matchers.push(Matcher { label, values: values.into_iter().map(str::to_owned).collect() });
    }
}

#[test]
fn names_are_found_wherever_they_are() {
    let found = names(
        "# A comment names nothing_at_all.\nhistogram_quantile(0.99, sum by (job, le) (rate(a_bucket{x=~\"p|q\", y!=\"\"}[5m]))) > 1e-3\n\
         and on (job) b:c:increase15m unless d offset 15m * ignoring (reason) group_left (z) e{} or vector(0)",
    );
    let selected: Vec<&str> = found.selectors.iter().map(|selector| &*selector.metric).collect();
    assert_eq!(selected, ["a_bucket", "b:c:increase15m", "d", "e"]);
    assert_eq!(found.labels, ["job", "le", "job", "reason", "z"]);
    let matcher = |label: &str, values: &[&str]| Matcher {
        label: label.to_owned(),
        values: values.iter().map(|value| (*value).to_owned()).collect(),
    };
    assert_eq!(found.selectors[0].matchers, [matcher("x", &["p", "q"]), matcher("y", &[""])]);
}
