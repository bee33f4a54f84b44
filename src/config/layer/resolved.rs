//! The values of one source with their expressions replaced.

use std::borrow::Cow;

use super::{Entry, Key, Kind, Node, Source, Value, Walk, fragment};
use crate::config::error::ConfigError;
use crate::config::variables::{self, Variables};

impl Walk<'_> {
    /// `node` with every expression replaced by its value; `None` if one has no value.
    ///
    /// Only files have expressions. In a value from the environment or a flag, a placeholder is an error: whatever set
    /// the value should have replaced it.
    pub(super) fn resolved<'n>(&mut self, path: &str, key: &Key, node: &'n Node) -> Option<Cow<'n, Node>> {
        match self.source {
            Source::Default => Some(Cow::Borrowed(node)),
            Source::Environment(_) | Source::Flag(_) if has_placeholder(node) => {
                let message = "has a placeholder in it that was not replaced";
                let error = ConfigError::new(path, Some(self.source.at(node.at)), message);
                self.errors.push(error.help(variables::UNRESOLVED_HELP));
                None
            }
            Source::Environment(_) | Source::Flag(_) => Some(Cow::Borrowed(node)),
            Source::File { variables, .. } => {
                self.note_secret(path, key, node);
                self.replaced(path, key, node, *variables).map(Cow::Owned)
            }
        }
    }

    /// Records a secret that is written in the file itself, so that the file's mode is checked.
    fn note_secret(&mut self, path: &str, key: &Key, node: &Node) {
        if let (Kind::Secret, Value::Scalar { text, .. }) = (key.kind, &node.value)
            && !text.is_empty()
            && variables::only_variable(text).is_none()
            && !self.source.is_replaced(node.at)
        {
            self.literal_secrets.push(path.to_owned());
        }
    }

    fn replaced(&mut self, path: &str, key: &Key, node: &Node, variables: Variables<'_>) -> Option<Node> {
        let value = match &node.value {
            Value::Null => Value::Null,
            Value::Scalar { text, quoted } => {
                Value::Scalar { text: self.text(path, key, node, text, variables)?, quoted: *quoted }
            }
            Value::List(items) => {
                let items: Vec<_> =
                    items.iter().map(|item| self.replaced(path, key, item, variables)).collect();
                Value::List(items.into_iter().collect::<Option<_>>()?)
            }
            Value::Map(entries) => {
                let entries: Vec<_> =
                    entries.iter().map(|entry| self.entry(path, key, entry, variables)).collect();
                Value::Map(entries.into_iter().collect::<Option<_>>()?)
            }
        };
        Some(Node { at: node.at, value })
    }

    fn entry(&mut self, path: &str, key: &Key, entry: &Entry, variables: Variables<'_>) -> Option<Entry> {
        if variables::has_placeholder(&entry.key) {
            let message = "has a placeholder in a name; expressions are replaced only in values";
            self.error(path, entry.key_at, message.to_owned());
            return None;
        }
        let node = self.replaced(path, key, &entry.node, variables)?;
        Some(Entry { key: entry.key.clone(), key_at: entry.key_at, node })
    }

    fn text(
        &mut self,
        path: &str,
        key: &Key,
        node: &Node,
        text: &str,
        variables: Variables<'_>,
    ) -> Option<String> {
        let secret = matches!(key.kind, Kind::Secret);
        let variable = variables::only_variable(text).is_some();
        match variables::resolve(text, variables, &mut self.added) {
            // The same as for a secret that comes directly from the environment.
            Ok(value) if secret && variable => Some(fragment::secret(&value).to_owned()),
            Ok(value) => Some(value.into_owned()),
            Err(fault) => {
                let fault = if secret && !variable { fault.without_name() } else { fault };
                let mut error = ConfigError::new(path, Some(self.source.at(node.at)), fault.message());
                error.help = fault.help();
                self.errors.push(error);
                None
            }
        }
    }
}

fn has_placeholder(node: &Node) -> bool {
    match &node.value {
        Value::Null => false,
        Value::Scalar { text, .. } => variables::has_placeholder(text),
        Value::List(items) => items.iter().any(has_placeholder),
        Value::Map(entries) => entries.iter().any(|entry| has_placeholder(&entry.node)),
    }
}
