//! The roles of a token.

use super::{ClaimPath, is_plain_name};
use crate::jose::{JsonObject, JsonValue};

/// Where the roles are, and in which form. A claim of another form has no roles.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RolesClaim {
    /// The path of the claim.
    pub path: ClaimPath,
    /// Its form.
    pub form: RolesForm,
}

/// How a claim names roles.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RolesForm {
    /// Texts: one, or a list of them.
    Texts {
        /// In place of a text there is an object, and the text is in this member of it.
        member: Option<Box<str>>,
        /// What separates several roles in one text. A list of texts is not split.
        separator: Option<Box<str>>,
    },
    /// One object. Its members' names are the roles, if their values are objects or true.
    Keys,
}

impl Default for RolesForm {
    fn default() -> Self {
        Self::Texts { member: None, separator: None }
    }
}

impl RolesClaim {
    /// The text about [`Self::is_elsewhere`].
    pub const ELSEWHERE: &str = "the token only says where the roles are (_claim_names): there are too many for a token, and metagate does not \
         ask for them";

    /// One text, or a list of texts, at this path.
    pub fn new(path: &str) -> Self {
        Self { path: ClaimPath::new(path), form: RolesForm::default() }
    }

    pub(super) fn read(&self, claims: &JsonObject) -> Vec<Box<str>> {
        let Some(found) = self.path.find(claims) else { return Vec::new() };
        let mut roles: Vec<Box<str>> = Vec::new();
        let mut add = |role: &str| {
            if !role.is_empty() && is_plain_name(role) {
                roles.push(role.into());
            }
        };
        let (member, separator) = match &self.form {
            RolesForm::Texts { member, separator } => (member.as_deref(), separator.as_deref()),
            RolesForm::Keys => {
                if let JsonValue::Object(members) = found {
                    let is_held = |value| matches!(value, JsonValue::Object(_) | JsonValue::Bool(true));
                    members.iter().filter(|(_, value)| is_held(*value)).for_each(|(name, _)| add(name));
                }
                return roles;
            }
        };
        let mut add_text = |text: &str, is_listed: bool| match separator.filter(|_| !is_listed) {
            Some(separator) => text.split(separator).map(str::trim).for_each(&mut add),
            None => add(text),
        };
        match (member, found) {
            (None, JsonValue::String(text)) => add_text(text, false),
            (None, JsonValue::Array(items)) => {
                items.iter().filter_map(JsonValue::as_str).for_each(|text| add_text(text, true));
            }
            (Some(name), JsonValue::Array(items)) => {
                items.iter().filter_map(|item| member_of(item, name)).for_each(|text| add_text(text, false));
            }
            (Some(name), object) => {
                member_of(object, name).into_iter().for_each(|text| add_text(text, false));
            }
            (None, _) => {}
        }
        roles
    }

    /// Whether the roles are not in the token, because there are too many: the claim is a distributed one (OpenID Connect
    /// Core 1.0 section 5.6.2), as Microsoft Entra ID writes it. It is not followed.
    pub fn is_elsewhere(&self, claims: &JsonObject) -> bool {
        let name = self.path.as_str();
        let is_named = match claims.get("_claim_names") {
            Some(JsonValue::Object(names)) => names.get(name).is_some(),
            _ => false,
        };
        // The short form in tokens of the implicit flow.
        let has_groups = matches!(claims.get("hasgroups"), Some(JsonValue::Bool(true)));
        self.path.find(claims).is_none() && (is_named || name == "groups" && has_groups)
    }
}

fn member_of<'a>(value: JsonValue<'a>, name: &str) -> Option<&'a str> {
    match value {
        JsonValue::Object(members) => members.get(name)?.as_str(),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(form: RolesForm, json: &str) -> Vec<String> {
        let claims = JsonObject::parse(format!("{{\"roles\": {json}}}").as_bytes()).unwrap();
        let claim = RolesClaim { form, ..RolesClaim::default() };
        claim.read(&claims).into_iter().map(String::from).collect()
    }

    #[test]
    fn each_form_reads_only_its_own_shape() {
        let separated = |by: &str| RolesForm::Texts { member: None, separator: Some(by.into()) };
        let named = || RolesForm::Texts { member: Some("name".into()), separator: None };
        let both = || RolesForm::Texts { member: Some("name".into()), separator: Some(",".into()) };
        let texts = RolesForm::default;
        for (form, json, roles) in [
            (separated(" "), r#""a  b c""#, &["a", "b", "c"][..]),
            (separated(","), r#""a, b,,c ""#, &["a", "b", "c"]),
            (separated("::"), r#""a::b:c""#, &["a", "b:c"]),
            (separated(" "), r#"["a b", "c"]"#, &["a b", "c"]),
            (separated(" "), r#"{"a": true}"#, &[]),
            (named(), r#"[{"name": "a"}, {"name": "b", "id": 1}, {"id": 2}, "c", {"name": 5}]"#, &["a", "b"]),
            (named(), r#"{"name": "a"}"#, &["a"]),
            (named(), r#""a""#, &[]),
            (named(), r#"["a"]"#, &[]),
            (both(), r#"[{"name": "a, b"}, {"name": "c"}]"#, &["a", "b", "c"]),
            (
                RolesForm::Keys,
                r#"{"a": {"org": "x"}, "b": true, "c": false, "d": null, "e": 1, "f": "x"}"#,
                &["a", "b"],
            ),
            (RolesForm::Keys, r#"["a"]"#, &[]),
            (RolesForm::Keys, r#""a""#, &[]),
            (texts(), r#""a b""#, &["a b"]),
            (texts(), r#"[{"name": "a"}, "b"]"#, &["b"]),
            (texts(), r#"{"a": true}"#, &[]),
            (RolesForm::Keys, r#"{"": true, "a\u0000": true}"#, &[]),
        ] {
            assert_eq!(read(form.clone(), json), roles, "{form:?} {json}");
        }
    }

    #[test]
    fn groups_that_are_elsewhere_are_recognized() {
        let is_elsewhere =
            |json: &str| RolesClaim::new("groups").is_elsewhere(&JsonObject::parse(json.as_bytes()).unwrap());
        assert!(is_elsewhere(r#"{"_claim_names": {"groups": "src1"}, "_claim_sources": {}}"#));
        assert!(is_elsewhere(r#"{"hasgroups": true}"#));
        for json in [
            "{}",
            r#"{"_claim_names": {"groups": "src1"}, "groups": []}"#,
            r#"{"_claim_names": {"roles": "src1"}}"#,
            r#"{"_claim_names": ["groups"], "hasgroups": "true"}"#,
        ] {
            assert!(!is_elsewhere(json), "{json}");
        }
    }
}
