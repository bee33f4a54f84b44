//! The variables of an expression. Members are read from the request on demand; nothing else is copied.

use std::collections::HashMap;

use cel::common::traits::{Container, Indexer};
use cel::common::types::{
    CelBool, CelDouble, CelInt, CelList, CelMap, CelMapKey, CelNull, CelString, CelUInt, LIST_TYPE, MAP_TYPE,
    Type,
};
use cel::common::value::{CowVal, Val};
use cel::context::VariableResolver;
use cel::{ExecutionError, common};

use super::{Budget, Subject, budget};
use crate::jose::JsonValue;
use crate::request::parameters;

/// The variables and the members of each. `claims` may have any member, so none is listed.
pub(super) const VARIABLES: [(&str, &[&str]); 4] = [
    ("claims", &[]),
    ("request", &["method", "path", "host", "sourceIp", "query"]),
    ("token", &["class", "issuer", "iss", "principal", "email", "roles", "scopes", "audiences"]),
    ("graphql", &["operation", "name", "fields"]),
];

static TRUE: std::sync::LazyLock<CelBool> = std::sync::LazyLock::new(|| CelBool::from(true));

/// All variables of one evaluation.
#[derive(Debug)]
pub(super) struct Variables<'s> {
    claims: Members<'s>,
    request: Members<'s>,
    token: Members<'s>,
    graphql: Members<'s>,
    scale: Scale<'s>,
    budget: &'s Budget,
}

impl<'s> Variables<'s> {
    pub(super) fn new(subject: &'s Subject<'s>, budget: &'s Budget) -> Self {
        let of = |variable| Members { variable, subject, budget };
        Self {
            claims: of(Variable::Claims),
            request: of(Variable::Request),
            token: of(Variable::Token),
            graphql: of(Variable::Graphql),
            scale: Scale(budget),
            budget,
        }
    }
}

impl VariableResolver for Variables<'_> {
    fn resolve<'b>(&'b self, name: &str) -> Option<CowVal<'b, 'b>> {
        let variable = match name {
            "claims" => &self.claims,
            "request" => &self.request,
            "token" => &self.token,
            "graphql" => &self.graphql,
            budget::STEP => {
                self.budget.spend_on_iteration();
                return (!self.budget.is_spent()).then(|| CowVal::Borrowed(&*TRUE));
            }
            budget::SCALE => return Some(CowVal::Borrowed(&self.scale)),
            _ => return None,
        };
        Some(CowVal::Borrowed(variable))
    }
}

/// Contains every value until the budget is spent. Searching for one spends the steps of using it.
#[derive(Clone, Copy, Debug)]
struct Scale<'s>(&'s Budget);

impl Val for Scale<'_> {
    fn get_type(&self) -> &Type {
        &LIST_TYPE
    }

    fn cel_type() -> &'static Type {
        &LIST_TYPE
    }

    fn as_container(&self) -> Option<&dyn Container> {
        Some(self)
    }

    fn clone_as_boxed<'v>(&self) -> Box<dyn Val + 'v>
    where
        Self: 'v,
    {
        Box::new(*self)
    }
}

impl Container for Scale<'_> {
    fn contains(&self, value: &dyn Val) -> Result<bool, ExecutionError> {
        self.0.spend_on_use(value);
        Ok(!self.0.is_spent())
    }
}

#[derive(Clone, Copy, Debug)]
enum Variable {
    Claims,
    Request,
    Token,
    Graphql,
}

/// One variable: a map whose members are created when they are read.
#[derive(Clone, Copy, Debug)]
struct Members<'s> {
    variable: Variable,
    subject: &'s Subject<'s>,
    budget: &'s Budget,
}

impl Members<'_> {
    fn find<'v>(&self, name: &str) -> Option<Box<dyn Val + 'v>>
    where
        Self: 'v,
    {
        self.budget.spend(1);
        match self.variable {
            Variable::Claims => self.subject.token?.claims().get(name).and_then(|claim| self.json(claim)),
            Variable::Request => self.of_request(name),
            Variable::Token => self.of_token(name),
            Variable::Graphql => {
                let operation = self.subject.graphql?;
                match name {
                    "operation" => Some(text(operation.kind.as_str())),
                    "name" => operation.name.as_deref().map(|name| self.chosen(name)),
                    "fields" => self.texts(&operation.fields),
                    _ => None,
                }
            }
        }
    }

    fn of_request<'v>(&self, name: &str) -> Option<Box<dyn Val + 'v>>
    where
        Self: 'v,
    {
        let request = self.subject.request;
        match name {
            "method" => Some(text(request.method.as_str())),
            "path" => {
                self.budget.spend_on_text(self.subject.path.len());
                Some(Box::new(CelString::from(String::from_utf8_lossy(self.subject.path).into_owned())))
            }
            "host" => Some(text(&request.host)),
            // A peer on a Unix socket has none: reading it is an error, and the request is denied.
            "sourceIp" => Some(Box::new(CelString::from(request.source_ip?.to_canonical().to_string()))),
            "query" => self.query(),
            _ => None,
        }
    }

    fn of_token<'v>(&self, name: &str) -> Option<Box<dyn Val + 'v>>
    where
        Self: 'v,
    {
        let token = self.subject.token?;
        match name {
            "class" => Some(text(token.class().as_str())),
            "issuer" => Some(text(token.entry())),
            "iss" => token.issuer().map(text),
            "principal" => Some(self.chosen(token.principal())),
            "email" => token.email().map(text),
            "roles" => self.texts(token.roles()),
            "scopes" => self.texts(token.scopes()),
            "audiences" => match token.claims().get("aud") {
                Some(one @ JsonValue::String(_)) => Some(Box::new(CelList::from(vec![self.json(one)?]))),
                // A null `aud` counts as absent.
                None | Some(JsonValue::Null) => Some(Box::new(CelList::default())),
                Some(several) => self.json(several),
            },
            _ => None,
        }
    }

    /// Every parameter by name, with all its values. If one cannot be decoded, the whole map is missing.
    fn query<'v>(&self) -> Option<Box<dyn Val + 'v>> {
        let query = self.subject.request.path.query();
        let mut lists: HashMap<CelMapKey<'v>, Vec<Box<dyn Val + 'v>>> = HashMap::new();
        self.budget.spend_on_text(query.len());
        for (name, value) in parameters(query)? {
            self.budget.spend(1);
            let values = lists.entry(CelMapKey::from(name.into_owned())).or_default();
            values.push(Box::new(CelString::from(value.into_owned())));
        }
        let lists = lists
            .into_iter()
            .map(|(name, values)| -> (_, Box<dyn Val + 'v>) { (name, Box::new(CelList::from(values))) });
        Some(Box::new(CelMap::from(lists.collect::<HashMap<_, _>>())))
    }

    fn texts<'v>(&self, items: &'v [Box<str>]) -> Option<Box<dyn Val + 'v>> {
        self.budget.spend(u32::try_from(items.len()).unwrap_or(u32::MAX));
        let items: Vec<_> = items.iter().map(|item| self.chosen(item)).collect();
        Some(Box::new(CelList::from(items)))
    }

    /// A text that a client chose.
    fn chosen<'v>(&self, chosen: &'v str) -> Box<dyn Val + 'v> {
        self.budget.spend_on_text(chosen.len());
        text(chosen)
    }

    /// A claim as a CEL value. Each of its parts is copied and costs a step.
    fn json<'v>(&self, value: JsonValue<'v>) -> Option<Box<dyn Val + 'v>> {
        if self.budget.is_spent() {
            return None;
        }
        Some(match value {
            JsonValue::Null => Box::new(CelNull),
            JsonValue::Bool(value) => Box::new(CelBool::from(value)),
            JsonValue::Number(number) => match (number.as_i64(), number.as_u64()) {
                (Some(number), _) => Box::new(CelInt::from(number)),
                (None, Some(number)) => Box::new(CelUInt::from(number)),
                (None, None) => Box::new(CelDouble::from(number.as_f64()?)),
            },
            JsonValue::String(value) => self.chosen(value),
            JsonValue::Array(items) => {
                let items = items.iter();
                self.budget.spend(u32::try_from(items.len()).unwrap_or(u32::MAX));
                let items: Option<Vec<_>> = items.map(|item| self.json(item)).collect();
                Box::new(CelList::from(items?))
            }
            JsonValue::Object(members) => {
                self.budget.spend(u32::try_from(members.len()).unwrap_or(u32::MAX));
                let members: Option<HashMap<_, _>> = members
                    .iter()
                    .map(|(name, value)| {
                        self.budget.spend_on_text(name.len());
                        Some((CelMapKey::from(name), self.json(value)?))
                    })
                    .collect();
                Box::new(CelMap::from(members?))
            }
        })
    }
}

fn text<'v>(text: &'v str) -> Box<dyn Val + 'v> {
    Box::new(CelString::from(text))
}

impl Val for Members<'_> {
    fn get_type(&self) -> &Type {
        &MAP_TYPE
    }

    fn cel_type() -> &'static Type {
        &MAP_TYPE
    }

    fn as_container(&self) -> Option<&dyn Container> {
        Some(self)
    }

    fn as_indexer<'b, 'v>(&'b self) -> Option<&'b (dyn Indexer + 'v)>
    where
        Self: 'v,
    {
        Some(self)
    }

    fn clone_as_boxed<'v>(&self) -> Box<dyn Val + 'v>
    where
        Self: 'v,
    {
        Box::new(*self)
    }
}

impl Container for Members<'_> {
    fn contains(&self, value: &dyn Val) -> Result<bool, ExecutionError> {
        Ok(value.downcast_ref::<CelString>().is_some_and(|name| self.find(name.inner()).is_some()))
    }
}

impl Indexer for Members<'_> {
    fn get<'b, 'v>(&'b self, index: &dyn Val) -> Result<CowVal<'b, 'v>, ExecutionError>
    where
        Self: 'v,
    {
        member(self, index).map(CowVal::Owned)
    }

    fn steal<'v>(self: Box<Self>, index: &dyn Val) -> Result<Box<dyn Val + 'v>, ExecutionError>
    where
        Self: 'v,
    {
        member(&self, index)
    }
}

fn member<'s: 'v, 'v>(
    members: &Members<'s>,
    index: &dyn common::value::Val,
) -> Result<Box<dyn Val + 'v>, ExecutionError> {
    let name = index.downcast_ref::<CelString>().map(CelString::inner).unwrap_or_default();
    // The error is never shown, so it does not need the name.
    members.find(name).ok_or_else(|| ExecutionError::no_such_key(""))
}
