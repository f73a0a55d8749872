//! What would happen: a request as a gateway would ask about it, and the rule that decides.

use maud::{Markup, html};

use super::{
    Parts,
    shape::{Verdict, url},
};
use crate::http::console::{
    api::{Refused, with_query},
    form::Form,
    page, words,
};

/// What is asked about.
pub(super) struct Question<'a> {
    method: Option<&'a str>,
    path: Option<&'a str>,
    feature: Option<&'a str>,
}

impl<'a> Question<'a> {
    pub(super) fn of(said: &'a Form) -> Self {
        Self { method: said.text("method"), path: said.text("path"), feature: said.text("feature") }
    }

    /// Whether anything is asked at all.
    pub(super) fn is_asked(&self) -> bool {
        self.path.or(self.feature).is_some()
    }

    /// The path of the API that answers it.
    pub(super) fn path(&self, path: &str) -> String {
        let method = self.path.map(|_| self.method.unwrap_or("GET"));
        with_query(path, [("method", method), ("path", self.path), ("feature", self.feature)])
    }

    /// The question, and its answer.
    pub(super) fn section(&self, parts: &Parts<'_>, refused: Option<&Refused>) -> Markup {
        const METHODS: [&str; 7] = ["GET", "HEAD", "OPTIONS", "POST", "PUT", "PATCH", "DELETE"];
        html! {
            section aria-labelledby="would" {
                h2 #would { "What would happen" }
                form.filters method="get" action={ (url(parts.id, None)) "#would" } {
                    @if let Some(tenant) = parts.tenant {
                        input type="hidden" name="tenant" value=(tenant);
                    }
                    div.field {
                        label for="method" { "Method" }
                        select #method name="method" {
                            @for method in METHODS {
                                option selected[self.method == Some(method)] { (method) }
                            }
                        }
                    }
                    div.field.wide {
                        label for="path" { "Path" }
                        input #path name="path" value=[self.path] placeholder="/orders/7"
                            autocomplete="off" spellcheck="false";
                    }
                    div.field {
                        label for="feature" { "Feature" }
                        input #feature name="feature" value=[self.feature] autocomplete="off"
                            spellcheck="false";
                    }
                    button type="submit" { "Ask" }
                }
                @if let Some(refused) = refused { (page::refusal(refused)) }
                @for verdict in &parts.explained.questions { (answer(verdict)) }
            }
        }
    }
}

fn answer(verdict: &Verdict) -> Markup {
    let Verdict { asked, decision, rule, .. } = verdict;
    html! {
        div.verdict.passes[verdict.allowed] {
            p {
                @match (&asked.path, &asked.action) {
                    (Some(path), _) => {
                        code { (asked.method.as_deref().unwrap_or("GET")) " " (path) }
                    }
                    (None, Some(action)) => { "A " (action) }
                    (None, None) => { "This" }
                }
                ": " strong { (decision) } " " code { (verdict.reason) } ", HTTP "
                (verdict.http_status)
                @if verdict.mode == "shadow" { ", and passes: denies are only told (shadow)" }
                "."
            }
            p { (page::sentence(&verdict.message)) }
            p.dim {
                "Rule: "
                @match &rule.pattern { Some(pattern) => { code { (pattern) } } None => { "none" } }
                "; " (rule.why) "; exempt: " (rule.exempt) "."
            }
            @if let Some(feature) = &verdict.feature {
                p.dim {
                    "Feature " code { (feature.code) } ": "
                    @match feature.present {
                        Some(true) => { "it has it." }
                        Some(false) => { "it does not have it." }
                        None => { "no source has said." }
                    }
                }
            }
            @for (word, held) in [("Refused by", &verdict.refused_by), ("Set aside", &verdict.set_aside)] {
                @if !held.is_empty() {
                    p.dim {
                        (word) ": "
                        @for (place, held) in held.iter().enumerate() {
                            @if place > 0 { ", " }
                            (held.kind) " by " (held.source) " (" (words::reason(held.reason)) ")"
                        }
                        "."
                    }
                }
            }
        }
    }
}
