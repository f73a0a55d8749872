//! Other systems' own APIs for their status actions, at the very same paths. What they ask for is
//! done by the same [`Control`] as everything else, for the source that the dialect stands for.

pub(super) mod billabear;
pub(super) mod wingback;

use axum::{body::Bytes, extract::Request, http::HeaderMap};

use super::{
    OperatorPlane, authenticate::Caller, fields::Fields, problem::Problem, resource::Resource,
    resource::ShownRestriction,
};
use crate::{
    domain::{Action, CustomerId, CustomerKey, Source},
    telemetry::ActDialect,
};

#[cfg(doc)]
use crate::control::Control;

/// One system's API.
#[derive(Clone, Copy, Debug)]
struct Dialect {
    /// What its acts are counted under.
    acts: ActDialect,
}

/// An act as it was asked for in a dialect.
struct Asked<'a> {
    caller: &'a Caller,
    id: &'a str,
    headers: &'a HeaderMap,
    body: &'a Bytes,
}

impl Dialect {
    /// Its name, which is that of the source it stands for too.
    const fn name(self) -> &'static str {
        self.acts.as_str()
    }

    /// Who calls. Whose key has no source of its own acts for the dialect's.
    fn caller(self, plane: &OperatorPlane, request: &Request) -> Result<Caller, Problem> {
        let mut caller = Caller::of(plane, request)?;
        if caller.actor.source.is_none() {
            caller.actor.source = Some(self.source()?);
        }
        Ok(caller)
    }

    /// Performs `action` for the dialect's source. Says what still restricts the customer.
    async fn act(
        self,
        plane: &OperatorPlane,
        asked: Asked<'_>,
        action: Action,
    ) -> Result<Vec<ShownRestriction>, Problem> {
        let Asked { caller, id, headers, body } = asked;
        let key = self.customer(plane, caller, id).await?;
        let action = Action { source: Some(self.source()?), ..action };
        let what = format!("{key}\0{}\0{}", self.name(), action.verb.as_str());
        let mut request = caller.request(headers, &what, body)?;
        request.dialect = self.acts;
        let control = &plane.operators.control;
        let acted = control.act(&request, &key, &action).await?;
        Ok(Resource::of(acted.customer, control, &plane.plane.gate).remaining())
    }

    /// The customer whom the dialect's system means by `id`.
    async fn customer(
        self,
        plane: &OperatorPlane,
        caller: &Caller,
        id: &str,
    ) -> Result<CustomerKey, Problem> {
        let id = CustomerId::parse(id).map_err(|error| Problem::invalid_field("id", error))?;
        let (control, source) = (&plane.operators.control, self.source()?);
        Ok(control.customer_meant(caller.tenant()?, &source, &id).await?)
    }

    fn source(self) -> Result<Source, Problem> {
        Source::parse(self.name()).map_err(|error| Problem::invalid_field("source", error))
    }
}

/// Splits a request into its headers, the fields of its body and that body.
async fn read(request: Request) -> Result<(HeaderMap, Fields, Bytes), Problem> {
    let headers = request.headers().clone();
    let (fields, body) = Fields::of_request(request).await?;
    Ok((headers, fields, body))
}
