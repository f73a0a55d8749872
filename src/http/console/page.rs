//! What every page has around it.

use axum::{
    http::{StatusCode, header},
    response::{IntoResponse as _, Response},
};
use maud::{DOCTYPE, Markup, html};

use super::{
    api::{Refused, Session, with_query},
    assets::{self, Asset},
};

/// A page, without what it is about.
#[derive(Default)]
pub(super) struct Page<'a> {
    pub(super) title: &'a str,
    pub(super) session: Option<&'a Session>,
    /// Where it stands among the others.
    pub(super) place: Option<Place>,
    /// The tenant that is looked at, if one was chosen.
    pub(super) tenant: Option<&'a str>,
    /// A script of its own.
    pub(super) script: Option<&'static Asset>,
    /// Whether it is loaded anew every few seconds where there are no scripts.
    pub(super) reloads: bool,
}

/// What the navigation leads to.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Place {
    Customers,
    Review,
    Live,
    Trouble,
}

impl Place {
    const ALL: [(Self, &'static str, &'static str); 4] = [
        (Self::Customers, "Customers", "/customers"),
        (Self::Review, "Review", "/review"),
        (Self::Live, "Live", "/live"),
        (Self::Trouble, "Trouble", "/trouble"),
    ];
}

impl Page<'_> {
    /// The whole page, with `status`.
    pub(super) fn around(&self, status: StatusCode, main: &Markup) -> Response {
        let kind = [(header::CONTENT_TYPE, "text/html; charset=utf-8")];
        (status, kind, self.written(main).into_string()).into_response()
    }

    fn written(&self, main: &Markup) -> Markup {
        html! {
            (DOCTYPE)
            html lang="en" {
                head {
                    meta charset="utf-8";
                    meta name="viewport" content="width=device-width, initial-scale=1";
                    meta name="color-scheme" content="light dark";
                    title { (self.title) " · Tollgate" }
                    link rel="stylesheet" href=(assets::STYLE.url());
                    link rel="icon" type="image/svg+xml" href=(assets::ICON.url());
                    script src=(assets::SCRIPT.url()) defer {}
                    @if let Some(script) = self.script {
                        script src=(script.url()) defer {}
                    }
                    @if self.reloads {
                        noscript { meta http-equiv="refresh" content="5"; }
                    }
                }
                body {
                    a.skip href="#main" { "Skip to content" }
                    (self.header())
                    main #main tabindex="-1" { (main) }
                    footer {
                        p { "Tollgate " (env!("CARGO_PKG_VERSION")) }
                        p #zone { "Times are in UTC." }
                    }
                }
            }
        }
    }

    fn header(&self) -> Markup {
        html! {
            header.top {
                a.brand href="/" { "Tollgate" }
                @if let Some(session) = self.session {
                    nav aria-label="Pages" {
                        @for (place, word, url) in Place::ALL {
                            @let here = self.place == Some(place);
                            a href=(with_query(url, [("tenant", self.tenant)]))
                                aria-current=[here.then_some("page")] { (word) }
                        }
                    }
                    form.who method="post" action="/sign-out" {
                        input type="hidden" name="csrf" value=(session.csrf_token);
                        span {
                            span.name { (session.name) } " "
                            span.role { (session.role.as_str()) }
                            @if let Some(tenant) = &session.tenant {
                                " " span.tenant { "tenant " (tenant) }
                            }
                        }
                        button.quiet type="submit" { "Sign out" }
                    }
                }
            }
        }
    }
}

/// A page that says why there is no other.
pub(super) fn of_refusal(session: Option<&Session>, refused: &Refused) -> Response {
    let title = if refused.status == StatusCode::NOT_FOUND { "Not there" } else { "Refused" };
    let main = html! {
        h1 { (title) }
        (refusal(refused))
        p { a href="/" { "To the customers" } }
    };
    Page { title, session, ..Page::default() }.around(refused.status, &main)
}

/// What the API says against something.
pub(super) fn refusal(refused: &Refused) -> Markup {
    html! {
        div.notice.bad role="alert" {
            p { strong { (sentence(&refused.message)) } }
            p.dim { "HTTP " (refused.status.as_u16()) " " code { (refused.code) } }
        }
    }
}

/// Something said by an error, as a sentence.
pub(super) fn sentence(message: &str) -> String {
    let mut letters = message.chars();
    let first = letters.next().map(|first| first.to_uppercase().to_string()).unwrap_or_default();
    let stop = if message.ends_with(['.', '!', '?']) { "" } else { "." };
    format!("{first}{}{stop}", letters.as_str())
}

/// Something good that was done.
pub(super) fn done(said: &Markup) -> Markup {
    html! { div.notice.good role="status" #done { (said) } }
}
