//! What pages load beside themselves. Each URL names the content, which therefore never changes.

use std::sync::LazyLock;

use axum::{
    extract::Path,
    http::{StatusCode, header},
    response::{IntoResponse as _, Response},
};
use sha2::{Digest as _, Sha256};

use crate::store::format::hex;

/// A file that pages load.
pub(super) struct Asset {
    name: &'static str,
    kind: &'static str,
    content: &'static str,
    tag: LazyLock<String>,
}

impl Asset {
    /// Its URL.
    pub(super) fn url(&self) -> String {
        format!("/assets/{}", self.file())
    }

    fn file(&self) -> String {
        let (stem, ending) = self.name.rsplit_once('.').unwrap_or((self.name, ""));
        format!("{stem}-{}.{ending}", *self.tag)
    }
}

/// Each with a tag of its content.
macro_rules! assets {
    ($($(#[doc = $says:literal])+ $place:ident = $name:literal, $kind:literal;)+) => {
        $(
            $(#[doc = $says])+
            pub(super) static $place: Asset = Asset {
                name: $name,
                kind: $kind,
                content: include_str!(concat!("assets/", $name)),
                tag: LazyLock::new(|| tag(include_str!(concat!("assets/", $name)))),
            };
        )+
        static ALL: &[&Asset] = &[$(&$place),+];
    };
}

assets! {
    /// How pages look.
    STYLE = "console.css", "text/css; charset=utf-8";
    /// What makes every page better than it is without.
    SCRIPT = "console.js", "text/javascript; charset=utf-8";
    /// What keeps the live page live.
    LIVE = "live.js", "text/javascript; charset=utf-8";
    /// The mark in the tab.
    ICON = "icon.svg", "image/svg+xml";
}

fn tag(content: &str) -> String {
    hex(&Sha256::digest(content)).chars().take(16).collect()
}

/// `GET /assets/{name}`
pub(super) async fn read(Path(name): Path<String>) -> Response {
    let Some(asset) = ALL.iter().find(|asset| asset.file() == name) else {
        return StatusCode::NOT_FOUND.into_response();
    };
    let headers = [
        (header::CONTENT_TYPE, asset.kind),
        (header::CACHE_CONTROL, "public, max-age=31536000, immutable"),
    ];
    (headers, asset.content).into_response()
}
