//! An example's own files, with other addresses and paths and nothing else.

use std::{fs, net::SocketAddr, path::Path};

use crate::gateway::{Kind, Variant};

/// Where everything is.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Places<'a> {
    /// The gateway's directory.
    pub(crate) directory: &'a Path,
    /// Where the gateway is to listen.
    pub(crate) listen: SocketAddr,
    /// Whom it speaks to.
    pub(crate) around: Around<'a>,
}

/// Whom a gateway speaks to.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Around<'a> {
    /// Where Tollgate listens.
    pub(crate) tollgate: SocketAddr,
    /// Tollgate's socket.
    pub(crate) socket: &'a Path,
    /// Where the application listens.
    pub(crate) app: SocketAddr,
}

impl Places<'_> {
    /// Writes the files of `kind`'s example.
    pub(crate) fn write(&self, kind: Kind, variant: Variant) {
        let Self { directory, listen, around: Around { tollgate, socket, app } } = *self;
        let here = directory.display();
        let to_tollgate = ("127.0.0.1:7600", tollgate.to_string());
        let to_app = ("127.0.0.1:8080", app.to_string());
        let port = |name: &'static str, port: u16| (name, format!("port_value: {port}"));
        let envoy = vec![
            ("0.0.0.0", "127.0.0.1".to_owned()),
            port("port_value: 8000", listen.port()),
            port("port_value: 7600", tollgate.port()),
            port("port_value: 8080", app.port()),
        ];
        let files = match kind {
            Kind::Nginx => unreachable!("nginx has a way of its own"),
            Kind::Traefik => vec![
                (
                    "traefik.yml",
                    vec![(":8000", listen.to_string()), ("/etc/traefik", here.to_string())],
                ),
                ("dynamic.yml", vec![to_tollgate, to_app]),
            ],
            Kind::Caddy => {
                let site = format!("http://:{} {{\n\tbind 127.0.0.1\n", listen.port());
                vec![("Caddyfile", vec![("http://:8000 {\n", site), to_tollgate, to_app])]
            }
            Kind::Envoy | Kind::EnvoyGrpc => vec![("envoy.yaml", envoy)],
            Kind::EnvoyJwt => {
                let keys = ("/etc/envoy-jwt", here.to_string());
                vec![("envoy.yaml", [envoy, vec![keys]].concat()), ("jwks.json", Vec::new())]
            }
            Kind::Haproxy => vec![
                (
                    "haproxy.cfg",
                    vec![
                        ("bind :8000", format!("bind {listen}")),
                        ("/etc/haproxy", here.to_string()),
                        to_app,
                    ],
                ),
                ("tollgate.lua", vec![("/run/tollgate/check.sock", socket.display().to_string())]),
                ("customers.map", Vec::new()),
            ],
        };
        for (name, replaced) in files {
            let example = fs::read_to_string(format!("examples/{}/{name}", kind.name())).unwrap();
            let text = replaced.iter().fold(example, |text, (from, to)| {
                assert!(text.contains(from), "{from} in {name}");
                text.replace(from, to)
            });
            fs::write(directory.join(name), text).unwrap();
        }
        let main = directory.join(kind.main_file());
        let mut text = fs::read_to_string(&main).unwrap();
        let app = app.to_string();
        for (from, to) in variant.changes(kind) {
            assert!(text.contains(from), "{from} in {}", main.display());
            text = text.replace(from, &to.replace("127.0.0.1:8080", &app));
        }
        fs::write(main, text).unwrap();
    }
}

impl Variant {
    /// What is replaced in the example, and by what.
    pub(crate) const fn changes(self, kind: Kind) -> &'static [(&'static str, &'static str)] {
        match (self, kind) {
            (Self::Open, Kind::Nginx) => &[
                (
                    "        location = /_tollgate {\n",
                    "        location = /_tollgate {\n error_page 502 504 = @open;\n",
                ),
                (
                    "        location @undecided {\n",
                    "        location @open { internal; return 204; }\n location @undecided {\n",
                ),
            ],
            (Self::Open, Kind::Caddy) => &[
                ("\t\t\theader Retry-After 1\n", "\t\t\treverse_proxy 127.0.0.1:8080\n"),
                ("\t\t\trespond ", "\t\t\t#"),
            ],
            (Self::Open, Kind::Envoy | Kind::EnvoyGrpc | Kind::EnvoyJwt) => {
                &[("failure_mode_allow: false", "failure_mode_allow: true")]
            }
            (Self::Open, Kind::Haproxy) => &[("lua.tollgate closed", "lua.tollgate open")],
            (Self::Http2, Kind::Envoy) => &[(
                "    connect_timeout: 0.2s\n",
                "    connect_timeout: 0.2s\n    typed_extension_protocol_options:
      envoy.extensions.upstreams.http.v3.HttpProtocolOptions:
        \"@type\": type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions
        explicit_http_config: { http2_protocol_options: { allow_connect: true } }\n",
            )],
            _ => &[],
        }
    }
}
