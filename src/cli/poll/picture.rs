//! What Tollgate holds of the customers of a tenant, as far as one source is concerned.

use std::collections::HashMap;

use serde_json::Value;

use super::{Cut, stop::Stop};
use crate::{
    cli::{
        answer::{is_set, list, text},
        client::{Call, Client},
        failure::Failure,
    },
    domain::CustomerId,
};

/// What one source holds of a customer.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Held {
    /// Nothing, now or later.
    Nothing,
    /// It is inactive, without end.
    Inactive,
    /// Something else.
    Otherwise,
}

impl Held {
    /// What `customer`, as Tollgate shows it, is held by `source`.
    pub(super) fn of(customer: &Value, source: &str) -> Self {
        let of_source =
            |field| list(customer, field).iter().filter(move |held| text(held, "source") == source);
        let is_inactive =
            |held: &Value| text(held, "kind") == INACTIVE && text(held, "until").is_empty();
        if of_source("restrictions").any(is_inactive) {
            Self::Inactive
        } else if of_source("restrictions").chain(of_source("scheduled")).next().is_none() {
            Self::Nothing
        } else {
            Self::Otherwise
        }
    }
}

/// The customers that Tollgate knows, as they were when it was read, and since then as acts were
/// answered.
#[derive(Debug, Default)]
pub(super) struct Picture {
    customers: HashMap<String, Held>,
    /// Tollgate's id of each that the source calls otherwise.
    aliases: HashMap<String, String>,
}

impl Picture {
    /// Reads both of Tollgate's lists: inactive customers are only in one of their own.
    pub(super) fn read(client: &Client, source: &str, stop: &Stop) -> Result<Self, Cut> {
        let mut picture = Self::default();
        for status in [None, Some(INACTIVE)] {
            let mut cursor = None;
            loop {
                stop.check()?;
                let call = Call::new("GET", "/v1/customers")
                    .query("limit", Some(100))
                    .query("status", status)
                    .query("startAfter", cursor.as_ref());
                let page = client.send(&call)?;
                for customer in list(&page, "customers") {
                    picture.keep(customer, source);
                }
                if !is_set(&page, "hasMore") || text(&page, "nextCursor").is_empty() {
                    break;
                }
                cursor = Some(text(&page, "nextCursor").to_owned());
            }
        }
        Ok(picture)
    }

    /// Whom the source means by `id`: the customer that has it as an alias, else the one of that
    /// name.
    pub(super) fn meant(&self, id: &CustomerId) -> String {
        self.aliases.get(id.as_str()).map_or(id.as_str(), String::as_str).to_owned()
    }

    /// What is held of a customer, if it is known.
    pub(super) fn held(&self, id: &str) -> Option<Held> {
        self.customers.get(id).copied()
    }

    /// Asks Tollgate about one that is in neither list: it may have come or moved while they were
    /// read, or was erased, which leaves it restrictions all the same.
    pub(super) fn look(
        &mut self,
        client: &Client,
        source: &str,
        id: &str,
    ) -> Result<Option<Held>, Failure> {
        match client.send(&Call::new("GET", format!("/v1/customers/{id}"))) {
            Ok(customer) => Ok(Some(self.keep(&customer, source))),
            Err(Failure::Refused(refused)) if refused.code == "NOT_FOUND" => Ok(None),
            Err(failure) => Err(failure),
        }
    }

    /// Keeps what Tollgate shows of a customer.
    pub(super) fn keep(&mut self, customer: &Value, source: &str) -> Held {
        let (id, held) = (text(customer, "customerId"), Held::of(customer, source));
        self.customers.insert(id.to_owned(), held);
        if let Some(alias) = customer.get("aliases").map(|aliases| text(aliases, source))
            && !alias.is_empty()
        {
            self.aliases.insert(alias.to_owned(), id.to_owned());
        }
        held
    }
}

/// The word of both systems for a closed customer.
pub(super) const INACTIVE: &str = "inactive";

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn only_what_the_source_itself_holds_counts() {
        let held = |restrictions: Value, scheduled: Value| {
            let customer = json!({"restrictions": restrictions, "scheduled": scheduled});
            Held::of(&customer, "flexportal")
        };
        let of = |kind, source| json!([{"kind": kind, "source": source, "until": null}]);
        assert_eq!(held(json!([]), json!([])), Held::Nothing);
        assert_eq!(held(of("inactive", "operator"), json!([])), Held::Nothing);
        assert_eq!(held(of("inactive", "flexportal"), json!([])), Held::Inactive);
        assert_eq!(held(of("disabled", "flexportal"), json!([])), Held::Otherwise);
        assert_eq!(held(json!([]), of("inactive", "flexportal")), Held::Otherwise);
        let ends = json!([
            {"kind": "inactive", "source": "flexportal", "until": "2090-01-01T00:00:00Z"}
        ]);
        assert_eq!(held(ends, json!([])), Held::Otherwise);
    }
}
