//! What may be done to a customer: a button for each kind, which says the possible act.

use maud::{Markup, html};

use super::{
    Parts,
    shape::{Standing, url},
};
use crate::{
    domain::{Kind, RestrictionReason, Role, Source, Verb},
    http::console::{
        api::{Refused, Session},
        form::{Form, once},
        page, words,
    },
};

/// The strictest first, as people look for it.
const KINDS: [Kind; 3] = [Kind::Disabled, Kind::Frozen, Kind::Inactive];

/// The buttons for the source that the key acts for. `refused` is what was said, and why it was not
/// done.
pub(super) fn section(
    parts: &Parts<'_>,
    session: &Session,
    refused: Option<(&Form, &Refused)>,
) -> Markup {
    let source = session.source();
    html! {
        section.acts aria-labelledby="acts" {
            h2 #acts { "Act as " (source) }
            @if !session.may(Role::Support) {
                p.dim { "Your role, " (session.role.as_str()) ", looks and does not act." }
            } @else {
                div.row {
                    @for kind in KINDS {
                        (possible(parts, session, &source, kind, refused))
                    }
                }
                p.hint {
                    "Each source holds and lifts its own restrictions; what others hold stays. "
                    (words::INACTIVE)
                }
            }
        }
    }
}

/// The button that lifts what another source holds.
pub(super) fn lift_of(parts: &Parts<'_>, session: &Session, standing: &Standing) -> Markup {
    let held = &standing.held;
    let own = held.source == session.source();
    html! {
        @if session.may(standing.lifted_by.role) {
            @if own { span.dim { "Lifted above" } }
            @else {
                (Act {
                    parts,
                    session,
                    verb: words::lifts(held.kind),
                    source: &held.source,
                    for_another: true,
                    refused: None,
                }.form())
            }
        } @else if session.may(Role::Support) {
            span.dim { "Only " (held.source) " lifts it, or a " (standing.lifted_by.role.as_str()) }
        }
    }
}

fn possible(
    parts: &Parts<'_>,
    session: &Session,
    source: &Source,
    kind: Kind,
    refused: Option<(&Form, &Refused)>,
) -> Markup {
    let standing = parts.explained.restrictions.iter().chain(&parts.explained.scheduled);
    let mut standing = standing.filter(|it| it.held.kind == kind && it.held.source == *source);
    let (verb, needed) = match standing.next() {
        Some(held) => (words::lifts(kind), held.lifted_by.role),
        None => (words::places(kind), Role::Support),
    };
    html! {
        @if session.may(needed) {
            (Act { parts, session, verb, source, for_another: false, refused }.form())
        } @else {
            p.dim { (words::verb(verb).button) " takes the role " (needed.as_str()) "." }
        }
    }
}

/// A form that does one thing, behind a button that says what.
struct Act<'a> {
    parts: &'a Parts<'a>,
    session: &'a Session,
    verb: Verb,
    source: &'a Source,
    for_another: bool,
    refused: Option<(&'a Form, &'a Refused)>,
}

impl Act<'_> {
    fn form(&self) -> Markup {
        let Self { parts, session, verb, source, .. } = self;
        let words = words::verb(*verb);
        let refused = self.refused.filter(|(said, _)| {
            said.text("verb") == Some(verb.as_str()) && said.text("source") == Some(source.as_str())
        });
        let said = |name: &str| refused.and_then(|(said, _)| said.text(name));
        let name = format!("{}-{}", verb.as_str(), source);
        let lifts = verb.lifts().is_some();
        html! {
            details.act.lifts[lifts].places[!lifts] open[refused.is_some()] {
                summary.button {
                    (words.button)
                    @if self.for_another { " for " (source) }
                }
                form.card method="post" action=(url(parts.id, None)) aria-labelledby={ "t-" (name) } {
                    h3 id={ "t-" (name) } { (words.button) " " (parts.id) "?" }
                    p { (words.does) }
                    @if self.for_another {
                        p { "This acts for " strong { (source) } ", which holds it and would \
                            otherwise lift it itself." }
                    }
                    @if let Some((_, refused)) = refused { (page::refusal(refused)) }
                    input type="hidden" name="csrf" value=(session.csrf_token);
                    input type="hidden" name="once" value=(once());
                    input type="hidden" name="verb" value=(verb.as_str());
                    input type="hidden" name="source" value=(source);
                    @if let Some(tenant) = parts.tenant {
                        input type="hidden" name="tenant" value=(tenant);
                    }
                    @if !lifts { (reason_and_end(&name, said("reason"), said("until"))) }
                    label for={ "n-" (name) } { "Notes, for operators only" }
                    textarea id={ "n-" (name) } name="notes" rows="3" maxlength="2000" {
                        (said("notes").unwrap_or_default())
                    }
                    div.row {
                        button.primary.danger[!lifts] type="submit" {
                            (words.button) " " (parts.id)
                        }
                        button.quiet.cancel type="button" hidden { "Cancel" }
                    }
                }
            }
        }
    }
}

fn reason_and_end(name: &str, reason: Option<&str>, until: Option<&str>) -> Markup {
    let chosen = reason.unwrap_or(RestrictionReason::Other.as_str());
    html! {
        label for={ "r-" (name) } { "Reason" }
        select id={ "r-" (name) } name="reason" {
            @for reason in RestrictionReason::ALL {
                option value=(reason.as_str()) selected[reason.as_str() == chosen] {
                    (words::reason(reason))
                }
            }
        }
        label for={ "u-" (name) } { "Ends by itself " span.zone { "(UTC; empty: never)" } }
        input id={ "u-" (name) } type="datetime-local" name="until" step="1" value=[until];
    }
}
