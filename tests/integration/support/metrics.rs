//! A parser for the Prometheus text format, as far as the tests need it.

/// One sample line.
pub struct Sample {
    pub name: String,
    pub labels: Vec<(String, String)>,
    pub value: f64,
}

impl Sample {
    pub fn matches(&self, name: &str, labels: &[(&str, &str)]) -> bool {
        self.name == name
            && labels.iter().all(|(key, value)| self.labels.iter().any(|(k, v)| k == key && v == value))
    }
}

/// Every sample of a page. Panics on a line that is neither a comment nor a sample.
#[track_caller]
pub fn parse(page: &str) -> Vec<Sample> {
    page.lines().filter(|line| !line.is_empty() && !line.starts_with('#')).map(sample).collect()
}

#[track_caller]
fn sample(line: &str) -> Sample {
    let split = line.rfind(' ').unwrap_or_else(|| panic!("no value in {line:?}"));
    let (series, value) = line.split_at(split);
    let value = value.trim().parse().unwrap_or_else(|error| panic!("{error} in {line:?}"));
    let (name, labels) = series.split_once('{').unwrap_or((series, ""));
    let labels = labels.trim_end_matches('}').split("\",").filter(|label| !label.is_empty()).map(|label| {
        let (key, value) = label.split_once("=\"").unwrap_or_else(|| panic!("no label in {line:?}"));
        (key.to_owned(), value.trim_end_matches('"').to_owned())
    });
    Sample { name: name.to_owned(), labels: labels.collect(), value }
}

/// The names declared by `# TYPE` or `# HELP` lines.
pub fn announced<'a>(page: &'a str, word: &str) -> Vec<&'a str> {
    let prefix = format!("# {word} ");
    page.lines().filter_map(|line| line.strip_prefix(&prefix)?.split(' ').next()).collect()
}
