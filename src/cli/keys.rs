//! `tollgate keys`: who may act.

use std::time::Duration;

use clap::{
    Args, Subcommand,
    builder::{PossibleValuesParser, TypedValueParser},
};
use serde_json::{Map, Value, json};

use super::{
    answer::{cell, list, text},
    client::Call,
    failure::{Exit, Failure},
    operator::Operator,
    out::{Out, Output, Rows},
};
use crate::{
    clock::Clock,
    config::parse_duration,
    domain::{Role, Source},
};

/// What to do with keys.
#[derive(Clone, Debug, Subcommand)]
pub(super) enum Keys {
    /// Makes a key, and prints its token: once, and never again
    Create(Create),
    /// Lists all keys, without their tokens
    List(All),
    /// Gives a key another token, and prints it: once, and never again
    Rotate(Rotate),
    /// Revokes a key, on every instance at once
    Revoke(Revoke),
}

impl Keys {
    pub(super) fn run(&self, out: &mut Out<'_>) -> Result<Exit, Failure> {
        match self {
            Self::Create(create) => create.run(out),
            Self::List(all) => all.run(out),
            Self::Rotate(rotate) => rotate.run(out),
            Self::Revoke(revoke) => revoke.run(out),
        }
    }
}

/// A key to be made. `--tenant` binds it to that tenant.
#[derive(Args, Clone, Debug)]
pub(super) struct Create {
    /// What its holder may do; each role includes the ones before it
    #[arg(long, value_parser = role())]
    role: Role,

    /// What the audit trail calls its holder
    #[arg(long)]
    name: String,

    /// The source that its acts are for
    #[arg(long)]
    source: Option<Source>,

    /// How long it is good for, like 90d; without it, until it is revoked
    #[arg(long, value_name = "DURATION", value_parser = parse_duration)]
    expires: Option<Duration>,

    #[command(flatten)]
    operator: Operator,
}

impl Create {
    fn run(&self, out: &mut Out<'_>) -> Result<Exit, Failure> {
        let mut body = Map::new();
        let mut say = |field: &str, value: Value| {
            body.insert(field.to_owned(), value);
        };
        say("name", json!(self.name));
        say("role", json!(self.role));
        if let Some(tenant) = &self.operator.tenant {
            say("tenant", json!(tenant));
        }
        if let Some(source) = &self.source {
            say("source", json!(source));
        }
        if let Some(expires) = self.expires {
            say("expiresAt", json!(Clock::system().now().saturating_add(expires)));
        }
        let call = Call::new("POST", "/v1/keys").body(Value::Object(body));
        let key = self.operator.client_of_all()?.send(&call)?;
        let (id, role, name) = (text(&key, "id"), text(&key, "role"), text(&key, "name"));
        let made = format!("Made key {id} of role {role} for {name}. Its token:");
        tell_token(&key, &made, self.operator.output(), out);
        Ok(Exit::Done)
    }
}

fn tell_token(key: &Value, what: &str, output: Output, out: &mut Out<'_>) {
    match output {
        Output::Json => out.data(Output::Json, key, Rows::plain),
        Output::Table => {
            out.note(what);
            out.line(text(key, "token"));
        }
    }
}

/// A key whose token is to be replaced.
#[derive(Args, Clone, Debug)]
pub(super) struct Rotate {
    /// The key's id, as the list has it
    #[arg(value_parser = key_id)]
    id: String,

    /// How long the token before it stays good, like 24h, 30d at most; without it, that one is
    /// refused at once
    #[arg(long, value_name = "DURATION", value_parser = parse_duration)]
    overlap: Option<Duration>,

    #[command(flatten)]
    operator: Operator,
}

impl Rotate {
    fn run(&self, out: &mut Out<'_>) -> Result<Exit, Failure> {
        let overlap = self.overlap.unwrap_or_default();
        let call = Call::new("POST", format!("/v1/keys/{}/rotate", self.id))
            .body(json!({ "overlapSeconds": overlap.as_secs() }));
        let key = self.operator.client_of_all()?.send(&call)?;
        let (id, name) = (text(&key, "id"), text(&key, "name"));
        let until = match text(&key, "previousUntil") {
            "" => "is refused from now on".to_owned(),
            until => format!("is good until {until}"),
        };
        let rotated =
            format!("The token of key {id} for {name} before this one {until}. The new one:");
        tell_token(&key, &rotated, self.operator.output(), out);
        Ok(Exit::Done)
    }
}

/// Every key.
#[derive(Args, Clone, Debug)]
pub(super) struct All {
    #[command(flatten)]
    operator: Operator,
}

impl All {
    fn run(&self, out: &mut Out<'_>) -> Result<Exit, Failure> {
        let answer = self.operator.client_of_all()?.send(&Call::new("GET", "/v1/keys"))?;
        out.data(self.operator.output(), &answer, || {
            let header =
                Rows::under(["ID", "NAME", "ROLE", "TENANT", "SOURCE", "EXPIRES", "LAST USED"]);
            list(&answer, "keys").iter().fold(header, |rows, key| {
                rows.row(
                    ["id", "name", "role", "tenant", "source", "expiresAt", "lastUsedAt"]
                        .map(|field| cell(key, field)),
                )
            })
        });
        Ok(Exit::Done)
    }
}

/// A key to be revoked.
#[derive(Args, Clone, Debug)]
pub(super) struct Revoke {
    /// The key's id, as the list has it
    #[arg(value_parser = key_id)]
    id: String,

    #[command(flatten)]
    operator: Operator,
}

impl Revoke {
    fn run(&self, out: &mut Out<'_>) -> Result<Exit, Failure> {
        let call = Call::new("DELETE", format!("/v1/keys/{}", self.id));
        let answer = self.operator.client_of_all()?.send(&call)?;
        out.data(self.operator.output(), &answer, || {
            Rows::under(["ID", "REVOKED"]).row([cell(&answer, "id"), cell(&answer, "success")])
        });
        Ok(Exit::Done)
    }
}

fn role() -> impl TypedValueParser<Value = Role> {
    PossibleValuesParser::new(Role::ALL.map(Role::as_str)).try_map(|raw| raw.parse::<Role>())
}

fn key_id(raw: &str) -> Result<String, &'static str> {
    let is_id = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
    let sound = !raw.is_empty() && raw.bytes().all(is_id);
    if sound {
        Ok(raw.to_owned())
    } else {
        Err("a key's id is made of letters, digits, `-` and `_`")
    }
}
