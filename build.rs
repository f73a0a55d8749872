//! Makes Rust of `proto/`. The compiler is written in Rust too: nothing has to be installed.

use std::{env, error::Error, fs, path::PathBuf};

use prost_types::{DescriptorProto, FileDescriptorSet, field_descriptor_proto::Type};
use protox::prost::Message as _;

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo::rerun-if-changed=proto");
    let mut files = protox::compile(["envoy/service/auth/v3/external_auth.proto"], ["proto"])?;
    let out = PathBuf::from(env::var_os("OUT_DIR").ok_or("cargo names no OUT_DIR")?);
    // What reflection shows.
    fs::write(out.join("envoy.bin"), files.encode_to_vec())?;
    read_as_bytes(&mut files);
    tonic_prost_build::configure()
        .build_client(false)
        .build_transport(false)
        .disable_comments(["."])
        .include_file("envoy.rs")
        .compile_fds(files)?;
    Ok(())
}

/// Clients choose what these hold, and not all of them keep to UTF-8. On the wire strings and bytes
/// are alike; as bytes, one strange header is no reason to understand nothing.
const CHOSEN_BY_CLIENTS: [(&str, &[&str]); 3] = [
    ("HttpRequest", &["method", "path"]),
    ("HeadersEntry", &["value"]),
    ("HeaderValue", &["key", "value"]),
];

fn read_as_bytes(files: &mut FileDescriptorSet) {
    let messages = files.file.iter_mut().filter(|file| file.package().starts_with("envoy."));
    messages.flat_map(|file| &mut file.message_type).for_each(read_message_as_bytes);
}

fn read_message_as_bytes(message: &mut DescriptorProto) {
    message.nested_type.iter_mut().for_each(read_message_as_bytes);
    let chosen = CHOSEN_BY_CLIENTS.iter().find(|(name, _)| *name == message.name());
    let Some((_, fields)) = chosen else { return };
    for field in message.field.iter_mut().filter(|field| fields.contains(&field.name())) {
        field.set_type(Type::Bytes);
    }
}
