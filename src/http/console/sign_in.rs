//! Signing in with a key, and out.
//!
//! The key stands in the form's body and nowhere else: what the browser keeps is a session's cookie.

use axum::{
    Router,
    extract::{FromRequest as _, RawQuery, Request, State},
    http::{HeaderMap, Method, StatusCode, Uri, header, uri::PathAndQuery},
    response::{IntoResponse as _, Redirect, Response},
};
use maud::{Markup, html};
use serde::de::IgnoredAny;

use super::{
    api::{Api, Call, Refused, Session, SignedIn, with_query},
    form::Form,
    page::{self, Page},
};
use crate::http::session::is_of_own_site;

/// To the form, and from there back to what `asked` for.
pub(super) fn redirect(asked: &Uri) -> Redirect {
    let asked = asked.path_and_query().map(PathAndQuery::as_str);
    let asked = asked.filter(|asked| !matches!(*asked, "/" | "/sign-out"));
    Redirect::to(&with_query("/sign-in", [("next", asked)]))
}

/// `GET /sign-in`
pub(super) async fn page(
    State(router): State<Router>,
    RawQuery(raw): RawQuery,
    request: Request,
) -> Response {
    let query = Form::of_query(raw.as_deref());
    let next = query.text("next").filter(|next| is_own(next));
    let (parts, _) = request.into_parts();
    if let Ok(Some(_)) = Api::of(&router, &parts).session().await {
        return Redirect::to(next.unwrap_or("/customers")).into_response();
    }
    form(StatusCode::OK, next, None)
}

/// `POST /sign-in`
pub(super) async fn begin(State(router): State<Router>, request: Request) -> Response {
    if !is_of_own_site(&request) {
        let message = "this takes the form of this very site, and no other's";
        let refused = Refused::new(StatusCode::FORBIDDEN, "CSRF_REQUIRED", message);
        return form(refused.status, None, Some(&refused));
    }
    let (parts, body) = request.into_parts();
    let api = Api::of(&router, &parts);
    let said = match Form::from_request(Request::from_parts(parts, body), &router).await {
        Ok(said) => said,
        Err(refusal) => return refusal,
    };
    let next = said.text("next").filter(|next| is_own(next));
    match sign_in(api, said.text("key").unwrap_or_default()).await {
        Ok(cookies) => (cookies, Redirect::to(next.unwrap_or("/customers"))).into_response(),
        Err(refused) => form(refused.status, next, Some(&refused)),
    }
}

/// Begins a session, and tells its cookie.
async fn sign_in(api: Api, key: &str) -> Result<HeaderMap, Refused> {
    let unusable = || Refused::new(StatusCode::UNAUTHORIZED, "INVALID_TOKEN", "this is no key");
    if key.is_empty() {
        return Err(unusable());
    }
    let api = api.with_key(key).ok_or_else(unusable)?;
    let answer = api.answer(Call { method: Method::POST, ..Call::get("/session") }).await?;
    let cookies = cookies_of(&answer);
    Api::read::<Session>(answer).await.map(|_| cookies)
}

/// `POST /sign-out`
pub(super) async fn end(visit: SignedIn, said: Form) -> Response {
    let call = Call { method: Method::DELETE, ..Call::get("/session").by_form(&said) };
    let ended = async {
        let answer = visit.api.answer(call).await?;
        let cookies = cookies_of(&answer);
        Api::read::<IgnoredAny>(answer).await.map(|_| cookies)
    };
    match ended.await {
        Ok(cookies) => (cookies, Redirect::to("/sign-in")).into_response(),
        Err(refused) => page::of_refusal(Some(&visit.session), &refused),
    }
}

/// What an answer has the browser keep.
fn cookies_of(answer: &Response) -> HeaderMap {
    let cookies = answer.headers().get_all(header::SET_COOKIE).iter();
    cookies.map(|cookie| (header::SET_COOKIE, cookie.clone())).collect()
}

/// Whether a URL is one of this site.
fn is_own(url: &str) -> bool {
    let is_plain = url.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'\\');
    is_plain && url.starts_with('/') && !url.starts_with("//")
}

fn form(status: StatusCode, next: Option<&str>, refused: Option<&Refused>) -> Response {
    let main: Markup = html! {
        div.narrow {
            h1 { "Sign in" }
            @if let Some(refused) = refused { (page::refusal(refused)) }
            form.card method="post" action="/sign-in" {
                @if let Some(next) = next { input type="hidden" name="next" value=(next); }
                label for="key" { "Key" }
                input #key type="password" name="key" required autocomplete="current-password"
                    autofocus spellcheck="false" aria-describedby="key-hint";
                p.hint #key-hint {
                    "As " code { "tollgate keys create" } " told it once. What you may do here is \
                     what the key may do."
                }
                button.primary type="submit" { "Sign in" }
            }
            @if let Some(next) = next {
                // Whoever comes from another site is not known here at first.
                p { a #go-on href=(next) { "Signed in already? Go on" } }
            }
        }
    };
    Page { title: "Sign in", ..Page::default() }.around(status, &main)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_is_led_to_another_site() {
        for own in ["/customers", "/customers/c1?tenant=acme"] {
            assert!(is_own(own), "{own}");
        }
        for other in
            ["", "customers", "//evil.example", "/\\evil.example", "https://evil.example", "/\n"]
        {
            assert!(!is_own(other), "{other}");
        }
    }
}
