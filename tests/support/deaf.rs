//! A way to Redis on which no change is heard: everything passes but what a channel carries.

#![expect(clippy::unwrap_used, reason = "a test that cannot be deaf has failed")]

use std::{
    io::{self, BufRead, BufReader, Read, Write},
    net::{Shutdown, SocketAddr, TcpListener, TcpStream},
    thread,
};

/// Listens on a free port and leads to the Redis at `url`. Returns the URL of that port.
pub(crate) fn deaf_way_to(url: &str) -> String {
    let server: SocketAddr = url.trim_start_matches("redis://").parse().unwrap();
    let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let here = listener.local_addr().unwrap();
    thread::spawn(move || {
        for client in listener.incoming().map_while(Result::ok) {
            // Without a server the client is hung up on.
            if let Ok(server) = TcpStream::connect(server) {
                lead(client, server);
            }
        }
    });
    format!("redis://{here}")
}

/// Carries one connection, both ways, until either end of it closes.
fn lead(client: TcpStream, server: TcpStream) {
    for end in [&client, &server] {
        end.set_nodelay(true).unwrap();
    }
    let ends = [client.try_clone().unwrap(), server.try_clone().unwrap()];
    let (mut questions, mut to_server) = (client.try_clone().unwrap(), server.try_clone().unwrap());
    thread::spawn(move || {
        let _ = io::copy(&mut questions, &mut to_server);
        for end in ends {
            let _ = end.shutdown(Shutdown::Both);
        }
    });
    thread::spawn(move || {
        let (mut answers, mut to_client) = (BufReader::new(&server), &client);
        while let Ok(value) = next_value(&mut answers) {
            if !value.starts_with(MESSAGE) && to_client.write_all(&value).is_err() {
                break;
            }
        }
        for end in [&client, &server] {
            let _ = end.shutdown(Shutdown::Both);
        }
    });
}

/// The bytes of the next whole value in Redis's protocol.
fn next_value(from: &mut impl BufRead) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    if from.read_until(b'\n', &mut bytes)? == 0 {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    // -1 is a value that is not there.
    let length = str::from_utf8(&bytes[1..]).unwrap().trim_end().parse().unwrap_or(0);
    match bytes[0] {
        b'$' | b'=' | b'!' if !bytes.starts_with(b"$-") => {
            from.take(length + 2).read_to_end(&mut bytes)?;
        }
        b'*' | b'~' | b'>' => {
            for _ in 0..length {
                bytes.extend(next_value(from)?);
            }
        }
        b'%' => {
            for _ in 0..2 * length {
                bytes.extend(next_value(from)?);
            }
        }
        _ => {}
    }
    Ok(bytes)
}

/// How a message of a channel begins.
const MESSAGE: &[u8] = b">3\r\n$7\r\nmessage\r\n";
