//! What evaluating an expression costs.

#![allow(clippy::unwrap_used, reason = "tests")]

use std::collections::HashMap;
use std::sync::Arc;

use cel::common::types::{CelInt, CelMapKey, DYN_TYPE, Type};
use cel::parser::Parser;
use cel::{Context, Value};
use serde_json::{Value as Json, json};

use super::*;
use crate::backend::Backend;
use crate::policy::expression::members::Variables;
use crate::policy::expression::tests::evaluate;
use crate::policy::{Expression, Fault, Subject};
use crate::request::{GraphqlOperation, OperationKind};
use crate::test_support::{facts_of, fields, verified};

/// What bounds the number of parts does not bound what they are rewritten to.
#[test]
fn nested_indices_are_rewritten_to_a_linear_size() {
    for (open, close) in [("x[", "]"), ("x[", "].a"), ("x[size(x[", "])]")] {
        let size = |count: usize| {
            let nested = format!("{}0{}", open.repeat(count), close.repeat(count));
            let parsed = Expression::parse(&format!("claims.a.exists(x, {nested} in claims.b)")).unwrap();
            format!("{:?}", parsed.0.expression).len()
        };
        let (four, eight) = (size(4), size(8));
        assert!(eight < 3 * four, "{open}: {four}, {eight}");
    }
}

/// Lists of the largest size that fits into a token of 16 KiB.
fn long() -> Json {
    json!({"a": vec![1; 2800], "b": vec![2; 2800]})
}

#[test]
fn long_loops_exhaust_the_budget() {
    for text in [
        "claims.a.all(x, claims.b.all(y, x != y))",
        "claims.a.exists(x, claims.b.exists(y, x == y))",
        "claims.a.map(x, claims.b.map(y, x + y)).size() > 0",
        "claims.a.filter(x, claims.b.exists(y, x == y)).size() > 0",
        "claims.a.exists(x, x in claims.b)",
        "claims.a.exists_one(x, x in claims.b)",
        // Here only the iterations cost steps.
        "claims.a.map(x, [x, x, x, x, x, x, x, x]).all(row, row.all(x, x == 1))",
        "claims.a.map(x, [x, x, x, x, x, x, x, x]).map(row, row.filter(x, x == 2)).size() > 0",
        // CEL discards errors that do not affect the result, but an exhausted budget is always a fault.
        "claims.a.exists(x, x in claims.b) || true",
        "!(claims.a.all(x, claims.b.all(y, x != y)) && false)",
        "has(claims.c) || claims.a.filter(x, claims.b.exists(y, x == y)).size() >= 0",
    ] {
        let started = std::time::Instant::now();
        assert_eq!(evaluate(text, long()), Err(Fault::Exhausted), "{text}");
        assert!(started.elapsed().as_secs() < 5, "{text}: {:?}", started.elapsed());
    }
    for text in [
        "claims.a.all(x, x == 1)",
        "claims.a.map(x, x + 1).size() == 2800",
        "claims.a.filter(x, x == 1).size() == 2800",
        "!(3 in claims.a) && !(3 in claims.b)",
    ] {
        assert_eq!(evaluate(text, long()), Ok(true), "{text}");
    }
    for text in ["claims.text.matches(\"^(a+)+$\")", "!claims.text.matches(\"^(a|a)*b$\")"] {
        assert_eq!(evaluate(text, json!({"text": "a".repeat(11_000)})), Ok(true), "{text}");
    }
}

/// Lists that are read once and used in every iteration of a loop, which only their own loop variable leads to.
#[test]
fn lists_that_loops_use_exhaust_the_budget() {
    let (some, others) = (vec![1; 700], vec![2; 700]);
    let o = json!({"a": some, "b": others, "c": [[others]], "d": [[others]], "e": [{"x": 2}]});
    let claims = json!({"a": some, "b": others, "o": [o]});
    let uses = [
        "r in o.b",
        "r in o[\"b\"]",
        "r in dyn(o.b)",
        "r in (true ? o.b : [])",
        "o.c == o.d && false",
        "o.c != o.d",
        "(o.b + o.b).size() == 0",
        "[o.b].size() == 0",
        "{1: o.b}.size() == 0",
        "o.c[0][0].size() == 1 || r in o.c[0][0]",
        // An index is used too, whatever it selects from.
        "o.e[o.c == o.d ? 0 : 1] == 1",
        "o.e[o.c == o.d ? 0 : 1].x == 1",
    ];
    for text in uses
        .map(|used| format!("claims.o.exists(o, o.a.exists(r, {used}))"))
        .iter()
        .map(String::as_str)
        .chain([
            "[claims.b].exists(b, claims.a.exists(x, x in b))",
            "claims.o.map(o, o.a.map(r, o.b)).size() == 0",
            "claims.o.filter(o, o.a.filter(r, r in o.b).size() > 0).size() > 0",
        ])
    {
        assert_eq!(evaluate(text, claims.clone()), Err(Fault::Exhausted), "{text}");
    }
    let members: Vec<_> = (0..150).map(|n| json!({"id": n, "roles": ["a", "b", "c", "d"]})).collect();
    let claims =
        json!({"groups": vec!["engineering"; 300], "teams": members, "few": {"a": [1, 2], "b": [2]}});
    for (text, expected) in [
        ("claims.groups.exists(g, g == \"x\" || g.startsWith(\"y\") || g in [\"z\"])", false),
        ("claims.teams.exists(team, \"x\" in team.roles)", false),
        ("claims.teams.exists(team, team.id == 149 && team.roles[3] == \"d\")", true),
        ("claims.teams.all(team, team.roles == [\"a\", \"b\", \"c\", \"d\"])", true),
        ("claims.teams.filter(team, \"a\" in team.roles).size() == 150", true),
        ("claims.teams.map(team, team.roles)[7] == [\"a\", \"b\", \"c\", \"d\"]", true),
        ("[claims.few].all(few, few.a.exists(x, x in few.b))", true),
        ("claims.teams.all(team, has(team.roles) && !has(team.owner))", true),
        ("claims.groups.map(g, g.size()).all(n, n == 11)", true),
    ] {
        assert_eq!(evaluate(text, claims.clone()), Ok(expected), "{text}");
    }
    assert_eq!(evaluate("claims.teams.all(team, team.owner == 1)", claims), Err(Fault::Missing));
}

/// Lists of the same size, of which these loops use a small part or none.
#[test]
fn loops_cost_what_they_use() {
    let o = json!({"a": vec![1; 700], "b": vec![2; 700], "few": [2]});
    let claims = json!({"o": [o], "b": vec![2; 2800]});
    for text in [
        "claims.o.exists(o, o.a.exists(r, r in o.few))",
        "claims.o.exists(o, o.a.exists(r, r in o[\"few\"]))",
        "claims.o.exists(o, o.a.exists(r, o.b == 1))",
        // Each iteration reads the claim once.
        "[1, 2, 3, 4, 5].exists(n, size(claims.b) == n)",
    ] {
        assert_eq!(evaluate(text, claims.clone()), Ok(false), "{text}");
    }
}

#[test]
fn parts_are_counted_at_all_depths_up_to_the_limit() {
    let list = |parts: Vec<Box<dyn Val>>| -> Box<dyn Val> { Box::new(CelList::from(parts)) };
    let numbers = || list((0..3).map(|number| -> Box<dyn Val> { Box::new(CelInt::from(number)) }).collect());
    let map: HashMap<CelMapKey<'_>, _> = [("a".into(), numbers()), ("b".into(), numbers())].into();
    let value = list(vec![numbers(), list(vec![numbers(), numbers()]), Box::new(CelMap::from(map))]);
    for limit in 1..=30 {
        assert_eq!(parts(value.as_ref(), limit), limit.min(22), "{limit}");
    }
}

/// A value that counts its copies.
#[derive(Clone, Debug)]
struct Item(Arc<AtomicU32>);

impl Val for Item {
    fn get_type(&self) -> &Type {
        Self::cel_type()
    }

    fn cel_type() -> &'static Type {
        &DYN_TYPE
    }

    fn clone_as_boxed<'v>(&self) -> Box<dyn Val + 'v>
    where
        Self: 'v,
    {
        self.0.fetch_add(1, Ordering::Relaxed);
        Box::new(self.clone())
    }
}

/// How often items are copied while an expression with a list of this length is evaluated.
fn copies(text: &str, length: usize) -> u32 {
    let request = facts_of(Backend::Generic, "GET", "/x", &fields(&[])).unwrap();
    let subject = Subject { request: &request, path: b"/x", token: None, graphql: None };
    let (budget, copied) = (Budget::default(), Arc::new(AtomicU32::new(0)));
    let items: Vec<Box<dyn Val>> =
        (0..length).map(|_| -> Box<dyn Val> { Box::new(Item(copied.clone())) }).collect();
    let mut expression = Parser::new().parse(text).unwrap();
    count(&mut expression);
    let variables = Variables::new(&subject, &budget);
    let context = Context::default();
    let mut scope = context.new_inner_scope();
    scope.set_variable_resolver(&variables);
    scope.add_variable_as_val("items", Box::new(CelList::from(items)));
    let result = Value::resolve_val(&expression, &scope).unwrap();
    assert_eq!(result.downcast_ref::<CelList>().unwrap().inner().len(), length, "{text}");
    copied.load(Ordering::Relaxed)
}

/// The budget bounds the iterations. If each copied the list that the loop makes, they would take quadratic time.
#[test]
fn the_lists_of_map_and_filter_grow_in_place() {
    for text in ["items.map(x, x)", "items.filter(x, true)", "items.map(x, true, x)"] {
        let (few, twice) = (copies(text, 200), copies(text, 400));
        assert!(few >= 200 && twice < 3 * few, "{text}: {few}, {twice}");
    }
}

/// The longest text, read in every iteration of a loop.
#[test]
fn long_texts_in_loops_exhaust_the_budget() {
    let (items, text) = (vec![1; 800], "a,".repeat(1500));
    for expression in [
        "claims.items.exists(x, claims.text.split(\",\").size() == 0)",
        "claims.items.exists(x, claims.list[0].matches(\"b\"))",
        "claims.items.exists(x, claims.map.size() == 0)",
    ] {
        let claims = json!({"items": items, "text": text, "list": [text], "map": {(text.clone()): 1}});
        assert_eq!(evaluate(expression, claims), Err(Fault::Exhausted), "{expression}");
        let short = json!({"items": items, "text": "a", "list": ["a"], "map": {"a": 1}});
        assert_eq!(evaluate(expression, short), Ok(false), "{expression}");
    }
    let request = facts_of(Backend::Generic, "GET", &format!("/x?a={text}"), &fields(&[])).unwrap();
    let token = verified(json!({"items": items}));
    let subject = Subject { request: &request, path: b"/x", token: Some(&token), graphql: None };
    let expression = Expression::parse("claims.items.exists(x, request.query.a.size() == 0)").unwrap();
    assert_eq!(expression.evaluate(&subject, &Budget::default()), Err(Fault::Exhausted));
    // Read once and used in every iteration.
    let once = "[claims.text].exists(text, claims.items.exists(x, text.split(\",\").size() == 0))";
    assert_eq!(evaluate(once, json!({"items": vec![1; 2000], "text": text})), Err(Fault::Exhausted));
    assert_eq!(evaluate(once, json!({"items": vec![1; 2000], "text": "a"})), Ok(false));
    // A list in one text, split once, stays within the budget.
    let groups = vec!["engineering/platform"; 400].join(",");
    assert_eq!(
        evaluate("claims.groups.split(\",\").exists(g, g == \"x\")", json!({"groups": groups})),
        Ok(false)
    );
}

#[test]
fn a_long_operation_name_costs_steps_by_length() {
    let name: Box<str> = "n".repeat(60_000).into();
    let operation =
        GraphqlOperation { kind: OperationKind::Query, name: Some(name), fields: vec!["a".into()] };
    let request = facts_of(Backend::Generic, "POST", "/x", &fields(&[])).unwrap();
    let subject = Subject { request: &request, path: b"/x", token: None, graphql: Some(&operation) };
    let expression = Expression::parse("graphql.name != \"a\"").unwrap();
    let budget = Budget::default();
    let answers: Vec<_> = (0..10).map(|_| expression.evaluate(&subject, &budget)).collect();
    assert_eq!((answers.first(), answers.last()), (Some(&Ok(true)), Some(&Err(Fault::Exhausted))));
}

/// The crate's own `indexOf` compares the part at every position of the text.
#[test]
fn index_of_is_called_by_the_name_of_the_linear_function() {
    let rewritten =
        format!("{:?}", Expression::parse("claims.a.indexOf(claims.b) == 1").unwrap().0.expression);
    assert!(rewritten.contains("\"@indexOf\"") && !rewritten.contains("\"indexOf\""), "{rewritten}");
}
