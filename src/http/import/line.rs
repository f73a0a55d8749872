//! One line: a customer as `GET /v1/customers/{id}` shows it, or as `PUT` takes it.

use std::collections::BTreeMap;

use serde_json::Value;

use super::super::{
    BODY_AT_MOST,
    customers::{read_record, read_status},
    fields::{Fields, json},
    operator::read_placement,
    problem::Problem,
};
use crate::{
    control::import::Line,
    domain::{
        CustomerId, Kind, Placement, Source, Status, TenantId,
        import::{Said, Statement},
    },
};

/// Whom lines mean that do not say it.
pub(super) struct Meant<'a> {
    /// The tenant that the request names.
    pub(super) named: Option<&'a TenantId>,
    /// The only tenant that the caller sees.
    pub(super) own: Option<&'a TenantId>,
    /// The tenant of a line that names none.
    pub(super) otherwise: Option<&'a TenantId>,
    /// The source.
    pub(super) source: Source,
    /// Whether the request says which source that is.
    pub(super) source_is_said: bool,
}

/// Reads one line.
pub(super) fn read_line(line: &[u8], meant: &Meant<'_>) -> Result<Line, Problem> {
    if line.len() > BODY_AT_MOST {
        let message = format!("a line may have at most {BODY_AT_MOST} bytes");
        return Err(Problem::invalid_field("line", message));
    }
    let value = json::read(line)
        .map_err(|error| Problem::invalid_field("line", format!("not JSON: {error}")))?;
    let mut fields = Fields::of_value("", value)?;
    let tenant = fields.parse("tenantId", TenantId::parse);
    if !fields.has_errors() {
        meant.may_name(tenant.as_ref())?;
    }
    let customer = fields.parse("customerId", CustomerId::parse);
    let source = fields.parse("source", str::parse::<Source>);
    let source_is_said = meant.source_is_said || source.is_some();
    let source = source.unwrap_or_else(|| meant.source.clone());
    let record = read_record(&mut fields);
    let restrictions = read_restrictions(&mut fields, source_is_said.then_some(&source));
    // What Tollgate says of a customer by itself.
    for shown in ["access", "revision", "createdAt", "updatedAt"] {
        fields.value(shown);
    }
    let tenant = tenant.as_ref().or(meant.otherwise);
    if customer.is_none() && !fields.has_errors() {
        fields.reject("customerId", "is required");
    }
    if tenant.is_none() && !fields.has_errors() {
        fields.reject("tenantId", "is required");
    }
    fields.finish()?;
    let (Some(tenant), Some(customer)) = (tenant.cloned(), customer) else {
        return Err(Problem::invalid_field("customerId", "is required"));
    };
    Ok(Line { tenant, customer, statement: Statement { source, fields: record, restrictions } })
}

impl Meant<'_> {
    /// Whether a line may name `tenant`.
    fn may_name(&self, tenant: Option<&TenantId>) -> Result<(), Problem> {
        let differs =
            |from: Option<&TenantId>| tenant.zip(from).is_some_and(|(tenant, from)| tenant != from);
        if differs(self.own) {
            let message = "this key sees another tenant only";
            return Err(Problem::new(
                axum::http::StatusCode::FORBIDDEN,
                "NO_TENANT_ACCESS",
                message,
            ));
        }
        if differs(self.named) {
            return Err(Problem::invalid_field("tenantId", "differs from the one in Tenant-ID"));
        }
        Ok(())
    }
}

/// Reads what is said of restrictions: each of them, or the status that a source makes.
fn read_restrictions(fields: &mut Fields, source: Option<&Source>) -> Said {
    if !fields.has("restrictions") && !fields.has("scheduled") {
        let (status, placement) = read_status(fields);
        return status.map_or(Said::Nothing, |kind| Said::Status(kind, placement));
    }
    let mut held = BTreeMap::new();
    if let Some(source) = source {
        held.insert(source.clone(), BTreeMap::new());
    }
    let strictest = read_list("restrictions", fields, source, &mut held);
    read_list("scheduled", fields, source, &mut held);
    // They say the same, or whoever wrote one of them meant something else.
    let status: Option<Status> = fields.take("status");
    if let Some(status) = status.filter(|status| *status != Status::from(strictest)) {
        let message = format!(
            "is {status}, and `restrictions` make it {}; leave one of them out",
            Status::from(strictest)
        );
        fields.reject("status", message);
    }
    Said::Held(held)
}

type Held = BTreeMap<Source, BTreeMap<Kind, Placement>>;

/// Reads a list of restrictions, and gives the strictest kind in it.
fn read_list(
    name: &str,
    fields: &mut Fields,
    source: Option<&Source>,
    held: &mut Held,
) -> Option<Kind> {
    let list: Vec<Value> = fields.take(name).unwrap_or_default();
    let mut strictest = None;
    for (place, value) in list.into_iter().enumerate() {
        let path = format!("{name}[{place}]");
        let read = Fields::of_value(&path, value).and_then(|it| read_restriction(it, source));
        match read {
            Ok((source, kind, placement)) => {
                strictest = strictest.max(Some(kind));
                let kinds = held.entry(source).or_default();
                if kinds.insert(kind, placement).is_some() {
                    fields.reject(&path, "the same source and kind are there before");
                }
            }
            Err(problem) => fields.take_errors(problem),
        }
    }
    strictest
}

fn read_restriction(
    mut fields: Fields,
    source: Option<&Source>,
) -> Result<(Source, Kind, Placement), Problem> {
    let kind: Option<Kind> = fields.take("kind");
    let own = fields.parse("source", str::parse::<Source>).or_else(|| source.cloned());
    if kind.is_none() && !fields.has_errors() {
        fields.reject("kind", "must be one of frozen, inactive, disabled");
    }
    if own.is_none() && !fields.has_errors() {
        fields.reject("source", "is required");
    }
    let placed_by: Option<String> = fields.take("actor");
    if placed_by.as_ref().is_some_and(|actor| actor.chars().count() > ACTOR_AT_MOST) {
        fields.reject("actor", format!("may have at most {ACTOR_AT_MOST} characters"));
    }
    let placement = Placement { placed_by, ..read_placement(&mut fields) };
    fields.finish()?;
    match (own, kind) {
        (Some(source), Some(kind)) => Ok((source, kind, placement)),
        (..) => Err(Problem::invalid_field("restrictions", "must name kind and source")),
    }
}

const ACTOR_AT_MOST: usize = 255;

#[cfg(test)]
mod tests {
    use super::*;

    fn read(line: &str) -> Result<Line, Vec<String>> {
        let default = TenantId::parse("default").unwrap();
        let meant = Meant {
            named: None,
            own: None,
            otherwise: Some(&default),
            source: Source::operator(),
            source_is_said: false,
        };
        read_line(line.as_bytes(), &meant).map_err(|problem| {
            let told = problem.told();
            let details = told["details"].as_array().cloned().unwrap_or_default();
            details.iter().map(|it| it["path"].as_str().unwrap().to_owned()).collect()
        })
    }

    #[test]
    fn every_wrong_field_of_a_line_is_named_with_its_place() {
        for (line, paths) in [
            ("[]", vec!["body"]),
            ("{", vec!["line"]),
            ("{}", vec!["customerId"]),
            (r#"{"customerId":"a b"}"#, vec!["customerId"]),
            (r#"{"customerId":"c","fetures":[]}"#, vec!["fetures"]),
            (r#"{"customerId":"c","limits":{"seats":{"max":-1}}}"#, vec!["limits"]),
            (r#"{"customerId":"c","restrictions":[{}]}"#, vec!["restrictions[0].kind"]),
            (
                r#"{"customerId":"c","restrictions":[{"kind":"frozen"},{"kind":"odd","source":"x"}]}"#,
                vec!["restrictions[0].source", "restrictions[1].kind"],
            ),
            (
                r#"{"customerId":"c","scheduled":[{"kind":"frozen","source":"x","reason":"odd"}]}"#,
                vec!["scheduled[0].reason"],
            ),
            (
                r#"{"customerId":"c","restrictions":[{"kind":"frozen","source":"x"},{"kind":"frozen","source":"x"}]}"#,
                vec!["restrictions[1]"],
            ),
            (r#"{"customerId":"c","status":"disabled","restrictions":[]}"#, vec!["status"]),
            (
                r#"{"customerId":"c","status":"active","restrictions":[{"kind":"frozen","source":"x"}]}"#,
                vec!["status"],
            ),
            (r#"{"customerId":"c","reason":"fraud"}"#, vec!["status"]),
        ] {
            assert_eq!(
                read(line).map(|_| ()),
                Err(paths.into_iter().map(str::to_owned).collect()),
                "{line}"
            );
        }
    }

    #[test]
    fn a_source_that_is_not_named_is_not_spoken_for() {
        let line = r#"{"customerId":"c","status":"active","restrictions":[],"scheduled":[]}"#;
        assert_eq!(read(line).unwrap().statement.restrictions, Said::Held(BTreeMap::new()));
        let line = r#"{"customerId":"c","source":"stripe","restrictions":[]}"#;
        let stripe = Source::parse("stripe").unwrap();
        let held = BTreeMap::from([(stripe, BTreeMap::new())]);
        assert_eq!(read(line).unwrap().statement.restrictions, Said::Held(held));
    }

    #[test]
    fn what_tollgate_says_by_itself_is_left_out() {
        let line =
            r#"{"customerId":"c","access":"none","revision":"x","createdAt":1,"updatedAt":2}"#;
        assert_eq!(read(line).unwrap().statement.restrictions, Said::Nothing);
    }
}
