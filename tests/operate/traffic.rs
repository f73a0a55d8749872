//! Everything that a Tollgate counts, made to happen.

use std::{collections::HashMap, net::SocketAddr};

use envoy_types::pb::envoy::service::auth::v3::{
    AttributeContext, CheckRequest,
    attribute_context::{HttpRequest, Request},
    authorization_client::AuthorizationClient,
};
use serde_json::{Value, json};
use tokio::runtime::Runtime;
use tonic::transport::Endpoint;

use crate::{
    raw::redis,
    sender::{billabear, now, send, standard, stripe},
    support::{
        operators::{act, put},
        tollgate::{ADMIN_TOKEN, Tollgate, http},
    },
};

/// A Tollgate that is acted on, asked and called back.
pub(crate) struct Traffic<'a> {
    tollgate: &'a Tollgate,
    /// The store, to which billing systems write.
    redis: String,
    runtime: Runtime,
    round: u64,
}

impl<'a> Traffic<'a> {
    /// Makes the customers that all this is about.
    pub(crate) fn to(tollgate: &'a Tollgate, redis: &str) -> Self {
        let aliases = json!({"stripe": "cus_1", "billabear": "b1"});
        put(tollgate, "c1", &json!({"features": ["sso"], "aliases": aliases}));
        for (customer, verb) in [("frozen", "freeze"), ("disabled", "disable")] {
            act(tollgate, customer, verb, &json!({"create": true, "reason": "dispute"}));
        }
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        Self { tollgate, redis: redis.to_owned(), runtime: runtime.unwrap(), round: 0 }
    }

    /// Lets everything happen once more.
    pub(crate) fn go_on(&mut self) {
        self.round += 1;
        let revision = self.act();
        for customer in ["c1", "frozen", "disabled", "nobody", "a,b"] {
            self.ask_as_gateways(customer);
        }
        self.ask_in_json(&revision);
        self.ask_as_envoy("frozen");
        self.call_back();
        self.publish();
    }

    /// What operators and systems with an API do. Gives the last change's revision.
    fn act(&self) -> Value {
        let it = self.tollgate;
        let id = format!("c{}", self.round % 50);
        let made = put(it, &id, &json!({"plan": format!("plan-{}", self.round)}));
        act(it, &id, "freeze", &json!({}));
        act(it, &id, "unfreeze", &json!({}));
        let key = ("x-api-key", ADMIN_TOKEN);
        let wingback = [("wb-key", ADMIN_TOKEN)];
        let inactivate = "/v1/c/customer/frozen/inactivate";
        let notes = json!({"notes": "overdue"});
        for answer in [
            it.operate_as(&wingback, "POST", inactivate, Some(&notes)),
            it.operate_as(&[key], "POST", "/api/v1/customer/b1/disable", None),
            it.operate_as(&[key], "POST", "/api/v1/customer/b1/enable", None),
        ] {
            assert!(matches!(answer.status, 200 | 202), "{answer:?}");
        }
        let nobody = it.operate("POST", "/v1/customers/nobody/freeze", None);
        assert_eq!(nobody.status, 404, "{nobody:?}");
        let stranger = it.operate_as(&[("x-api-key", "guessed")], "GET", "/v1/keys", None);
        assert_eq!(stranger.status, 401, "{stranger:?}");
        made["revision"].clone()
    }

    fn ask_as_gateways(&self, customer: &str) {
        let names = [("x-customer-id", customer), ("x-original-method", "POST")];
        let forwarded = [("x-customer-id", customer), ("x-forwarded-method", "POST")];
        for (path, headers) in [
            ("/v1/nginx", names),
            ("/v1/forward-auth", forwarded),
            ("/v1/envoy/orders", [("x-customer-id", customer), ("x-page", "2")]),
        ] {
            assert_ne!(self.tollgate.ask("GET", path, &headers).status, 0);
        }
    }

    fn ask_in_json(&self, revision: &Value) {
        let it = self.tollgate;
        for question in [
            json!({"customerId": "c1", "action": "write", "minRevision": revision}),
            // Nobody has said what it may have.
            json!({"customerId": "frozen", "action": "read", "feature": "sso"}),
            json!({"customerId": format!("c{}", self.round % 50), "action": "read"}),
            json!({"customerId": format!("unknown-{}", self.round), "action": "read"}),
        ] {
            assert_eq!(it.check(&question).status, 200);
        }
        let both = json!({"checks": [
            {"customerId": "c1", "action": "read"}, {"customerId": "disabled", "action": "read"},
        ]});
        let evaluation = json!({
            "subject": {"type": "customer", "id": "c1"}, "action": {"name": "write"},
            "resource": {"type": "route", "id": "/orders"},
        });
        let headers = [("content-type", "application/json")];
        for (path, body) in [("/v1/checks", both), ("/access/v1/evaluation", evaluation)] {
            let answer = http(it.check, "POST", path, &headers, Some(&body.to_string()));
            assert_eq!(answer.status, 200, "{answer:?}");
        }
        assert_eq!(it.ask("GET", "/v1/customers/c1/limits", &[]).status, 200);
    }

    fn ask_as_envoy(&self, customer: &str) {
        let told = self.runtime.block_on(over_grpc(self.tollgate.check, customer));
        assert_eq!(told, 7);
    }

    /// What billing systems do that call back.
    fn call_back(&self) {
        let it = self.tollgate;
        let event = json!({"type": "customer_updated",
            "customer": {"id": "b1", "email": "ada@example.com", "is_disabled": false}});
        assert!(billabear(it, &event).status < 300);
        let subscription = |customer: &str, status: &str| {
            json!({"id": format!("evt_{customer}_{}", self.round), "object": "event",
                "type": "customer.subscription.updated", "created": now(),
                "data": {"object": {"id": "sub_1", "customer": customer, "status": status}}})
        };
        assert_eq!(stripe(it, &subscription("cus_1", "active")).status, 200);
        assert_eq!(stripe(it, &subscription("cus_unknown", "past_due")).status, 202);
        let message = json!({"type": "customer.status", "timestamp": "2026-11-20T10:00:00Z",
            "data": {"customerId": "w1", "status": "active"}});
        assert_eq!(standard(it, &format!("msg_{}", self.round), &message).status, 200);
        assert_eq!(send(it, "/webhooks/stripe", &[], "{}").status, 401);
    }

    /// What billing systems say that cannot call.
    fn publish(&self) {
        let channel = "tollgate:customer-status";
        let said = json!({"customerId": "p1", "status": "active", "id": self.round.to_string()});
        for message in [said.to_string(), said.to_string(), "{".to_owned()] {
            redis(&self.redis, &["PUBLISH", channel, &message]);
        }
        let inbox = format!("{channel}:inbox");
        let said = json!({"customerId": "p2", "status": "active"});
        redis(&self.redis, &["XADD", &inbox, "*", "data", &said.to_string()]);
    }
}

/// Asks whether a customer may write, as Envoy does. Gives the code that Envoy is told.
async fn over_grpc(address: SocketAddr, customer: &str) -> i32 {
    let channel = Endpoint::from_shared(format!("http://{address}")).unwrap().connect().await;
    let http = HttpRequest {
        method: "POST".to_owned(),
        path: "/orders".to_owned(),
        headers: HashMap::from([("x-customer-id".to_owned(), customer.to_owned())]),
        ..HttpRequest::default()
    };
    let request = Request { http: Some(http), ..Request::default() };
    let attributes = AttributeContext { request: Some(request), ..AttributeContext::default() };
    let asked = CheckRequest { attributes: Some(attributes) };
    let told = AuthorizationClient::new(channel.unwrap()).check(asked).await.unwrap();
    told.into_inner().status.unwrap().code
}
