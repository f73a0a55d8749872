//! The gRPC question, as Envoy asks it.

use std::net::SocketAddr;

use envoy_types::pb::{
    envoy::{
        config::core::v3::{Address, SocketAddress, address, socket_address::PortSpecifier},
        service::auth::v3::{
            AttributeContext, CheckRequest, CheckResponse,
            attribute_context::{HttpRequest, Peer, Request},
            authorization_client::AuthorizationClient,
            check_response::HttpResponse,
        },
    },
    google::protobuf::Timestamp,
};
use prost::Message as _;
use tokio::runtime::Runtime;

use crate::question::ACTIVE;

/// What Envoy sends about a browser's request, in some 700 bytes.
pub(crate) fn question() -> CheckRequest {
    let headers = [
        (":authority", "shop.example.com"),
        (":method", "GET"),
        (":path", PATH),
        (":scheme", "https"),
        ("accept", "application/json"),
        ("accept-encoding", "gzip, deflate, br"),
        ("user-agent", "Mozilla/5.0 (X11; Linux x86_64; rv:142.0) Gecko/20100101 Firefox/142.0"),
        ("x-customer-id", ACTIVE),
        ("x-envoy-internal", "true"),
        ("x-forwarded-for", "203.0.113.77"),
        ("x-forwarded-proto", "https"),
        ("x-request-id", REQUEST_ID),
    ];
    let http = HttpRequest {
        id: "11424595473085213954".to_owned(),
        method: "GET".to_owned(),
        path: PATH.to_owned(),
        host: "shop.example.com".to_owned(),
        scheme: "https".to_owned(),
        protocol: "HTTP/1.1".to_owned(),
        headers: headers.map(|(name, value)| (name.to_owned(), value.to_owned())).into(),
        ..HttpRequest::default()
    };
    let time = Some(Timestamp { seconds: 1_795_384_000, nanos: 123_456_789 });
    let attributes = AttributeContext {
        source: Some(peer("203.0.113.77", 52_110)),
        destination: Some(peer("10.0.0.7", 8443)),
        request: Some(Request { time, http: Some(http) }),
        ..AttributeContext::default()
    };
    CheckRequest { attributes: Some(attributes) }
}

fn peer(address: &str, port: u32) -> Peer {
    let address = SocketAddress {
        address: address.to_owned(),
        port_specifier: Some(PortSpecifier::PortValue(port)),
        ..SocketAddress::default()
    };
    let address = Address { address: Some(address::Address::SocketAddress(address)) };
    Peer { address: Some(address), ..Peer::default() }
}

/// The question as it follows the headers of a call: not compressed, its length, itself.
pub(crate) fn frame() -> Vec<u8> {
    let message = question().encode_to_vec();
    let length = u32::try_from(message.len()).unwrap();
    [&[0][..], &length.to_be_bytes(), &message].concat()
}

/// Asks once, and holds that the answer allows it.
pub(crate) fn ask(address: SocketAddr) -> CheckResponse {
    let asked = async {
        let mut client = AuthorizationClient::connect(format!("http://{address}")).await.unwrap();
        client.check(question()).await.unwrap().into_inner()
    };
    let answer = Runtime::new().unwrap().block_on(asked);
    let allows = answer.status.as_ref().is_none_or(|status| status.code == 0)
        && matches!(answer.http_response, Some(HttpResponse::OkResponse(_)));
    assert!(allows, "it is answered {answer:?}");
    answer
}

const PATH: &str = "/area-57/items/4711?page=2";
const REQUEST_ID: &str = "0f8b6c1e-7a43-4a52-9d11-6c2f1b9f5f10";
