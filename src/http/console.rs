//! The web console: pages for whoever looks rather than asks by a program.
//!
//! It is a client of the API beside it and can do nothing else. What a browser sends becomes a
//! request to the API with that browser's own cookie and proof, answered in process ([`api`]); what
//! comes back is written as HTML. So who may do what, what is refused and what goes on record is
//! judged in one place, and a button that should not have been there does nothing.
//!
//! A page works without JavaScript. What is done is asked for by a form, which is answered by a
//! redirect to the page that shows it: to load that again repeats nothing. Forms carry a key of their
//! own, so that pressing twice acts once.

mod api;
mod assets;
mod customer;
mod customers;
mod form;
mod live;
mod page;
mod review;
mod sign_in;
mod trouble;
mod words;

use axum::{
    Router,
    extract::{DefaultBodyLimit, Request},
    http::{HeaderName, HeaderValue, header},
    middleware::{Next, from_fn},
    response::Response,
    routing::{get, post},
};

use super::{BODY_AT_MOST, authenticate::name_request, wrong_method};

/// The URLs of `api`, and those of the console over it.
pub(super) fn over(api: Router) -> Router {
    let console = Router::new()
        .route("/", get(customers::home))
        .route("/sign-in", get(sign_in::page).post(sign_in::begin))
        .route("/sign-out", post(sign_in::end))
        .route("/customers", get(customers::page))
        .route("/customers/{id}", get(customer::page).post(customer::act))
        .route("/review", get(review::page).post(review::lift))
        .route("/review/export", get(review::export))
        .route("/live", get(live::page))
        .route("/trouble", get(trouble::page).post(trouble::act))
        .route("/assets/{name}", get(assets::read))
        .method_not_allowed_fallback(wrong_method)
        .layer(DefaultBodyLimit::max(BODY_AT_MOST))
        .layer(from_fn(protect))
        .layer(from_fn(name_request))
        .with_state(api.clone());
    api.merge(console)
}

/// Tells browsers to run, load and send nothing but what is the console's own, and to keep nothing
/// that is about customers.
async fn protect(request: Request, next: Next) -> Response {
    let mut response = next.run(request).await;
    let headers = response.headers_mut();
    for (name, value) in &PROTECTION {
        headers.insert(name, value.clone());
    }
    headers.entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    response
}

static PROTECTION: [(HeaderName, HeaderValue); 4] = [
    (
        header::CONTENT_SECURITY_POLICY,
        HeaderValue::from_static(
            "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; \
             connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
        ),
    ),
    (header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
    // With `no-referrer`, browsers would not tell the origin of a form either, and without
    // encryption that is all there is to tell whose form it was.
    (header::REFERRER_POLICY, HeaderValue::from_static("same-origin")),
    (
        HeaderName::from_static("cross-origin-opener-policy"),
        HeaderValue::from_static("same-origin"),
    ),
];
