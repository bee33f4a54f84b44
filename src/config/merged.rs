//! All sources, merged by figment: a later one replaces a value or a whole list, maps are merged key by key. figment's
//! metadata of a value says which source it came from.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};

use figment::value::{Dict, Map, Value};
use figment::{Error, Figment, Metadata, Profile, Provider, Source};

use super::document::Position;
use super::error::Origin;
use super::layer::{FLAG, Layer};

/// All layers, merged.
pub(super) struct Merged {
    /// The values: texts, lists and maps of them.
    pub(super) root: Dict,
    figment: Figment,
    /// The positions of values in each file, by path. Other sources have no positions.
    positions: BTreeMap<PathBuf, BTreeMap<String, Position>>,
}

impl Provider for Layer {
    fn metadata(&self) -> Metadata {
        self.metadata.clone()
    }

    fn data(&self) -> Result<Map<Profile, Dict>, Error> {
        Ok(Profile::Default.collect(self.settings.clone()))
    }
}

impl Merged {
    /// Merges the layers. Later layers win.
    pub(super) fn new(layers: Vec<Layer>) -> Self {
        let figment = layers.iter().fold(Figment::new(), Figment::merge);
        // Our providers never fail, so there always is a map.
        let root = figment.data().ok().and_then(|mut profiles| profiles.remove(&Profile::Default));
        let mut positions: BTreeMap<PathBuf, BTreeMap<String, Position>> = BTreeMap::new();
        for layer in layers {
            if let Some(file) = layer.file().map(Path::to_owned) {
                positions.entry(file).or_default().extend(layer.positions);
            }
        }
        Self { root: root.unwrap_or_default(), figment, positions }
    }

    /// The text at a path such as `authentication.issuers[0].caFile`, and where it is written.
    pub(super) fn text_at(&self, path: &str) -> Option<(&str, Option<Origin>)> {
        let value = self.value_at(path)?;
        Some((value.as_str()?, self.origin(path, value)))
    }

    /// The value at such a path.
    pub(super) fn value_at(&self, path: &str) -> Option<&Value> {
        let mut dict = Some(&self.root);
        let mut found = None;
        for step in path.split('.') {
            let (name, index) = match step.strip_suffix(']').and_then(|step| step.split_once('[')) {
                Some((name, index)) => (name, Some(index.parse::<usize>().ok()?)),
                None => (step, None),
            };
            let value = dict?.get(name)?;
            let value = match index {
                Some(index) => value.as_array()?.get(index)?,
                None => value,
            };
            dict = value.as_dict();
            found = Some(value);
        }
        found
    }

    /// Where `value`, the value at `path`, was written.
    pub(super) fn origin(&self, path: &str, value: &Value) -> Option<Origin> {
        let metadata = self.figment.get_metadata(value.tag())?;
        match metadata.source.as_ref()? {
            Source::File(file) => {
                let Position { line, column } = *self.positions.get(file)?.get(path)?;
                Some(Origin::File { path: file.clone(), line, column })
            }
            Source::Custom(flag) if metadata.name == FLAG => Some(Origin::Flag(flag.clone())),
            Source::Custom(variable) => Some(Origin::Environment(variable.clone())),
            _ => Some(Origin::Default),
        }
    }
}

impl fmt::Debug for Merged {
    /// Omits the values, because some are secrets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Merged").finish_non_exhaustive()
    }
}
