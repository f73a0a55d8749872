//! The gRPC library alone, with Envoy's messages.

use data_encoding::BASE64;
use envoy_types::pb::envoy::service::auth::v3::{
    CheckRequest, CheckResponse, OkHttpResponse,
    authorization_server::{Authorization, AuthorizationServer},
    check_response::HttpResponse,
};
use prost::Message as _;
use tokio::net::TcpListener;
use tonic::{
    Request, Response, Status,
    transport::{Server, server::TcpIncoming},
};

/// Answers all alike.
struct DecidesNothing(CheckResponse);

#[tonic::async_trait]
impl Authorization for DecidesNothing {
    async fn check(&self, _: Request<CheckRequest>) -> Result<Response<CheckResponse>, Status> {
        Ok(Response::new(self.0.clone()))
    }
}

pub(super) async fn serve(listener: TcpListener, answer: &str) {
    let mut answer = CheckResponse::decode(&*BASE64.decode(answer.as_bytes()).unwrap()).unwrap();
    answer.http_response.get_or_insert(HttpResponse::OkResponse(OkHttpResponse::default()));
    let service = AuthorizationServer::new(DecidesNothing(answer));
    let listener = TcpIncoming::from(listener).with_nodelay(Some(true));
    Server::builder().add_service(service).serve_with_incoming(listener).await.unwrap();
}
