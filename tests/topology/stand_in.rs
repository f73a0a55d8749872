//! A sentinel that says what the test wants it to say.

use std::{
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::{TcpListener, TcpStream},
    sync::{Arc, Mutex},
    thread,
};

use crate::support::sentinels::MASTER;

/// A server that knows the few words of a sentinel which Tollgate needs.
#[derive(Debug)]
pub(crate) struct StandIn {
    /// Where it listens.
    pub(crate) port: u16,
    said: Arc<Mutex<Said>>,
}

#[derive(Debug, Default)]
struct Said {
    /// The configuration's number and the master's port; it hangs up on everybody without.
    word: Option<(u64, u16)>,
    /// Whether nobody may listen for announcements.
    is_mute: bool,
    listening: Vec<TcpStream>,
    everybody: Vec<TcpStream>,
}

impl StandIn {
    /// Starts one that names the master at `port`, in the configuration of this number.
    pub(crate) fn start(number: u64, port: u16) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let at = listener.local_addr().unwrap().port();
        let said = Arc::new(Mutex::new(Said { word: Some((number, port)), ..Said::default() }));
        let told = Arc::clone(&said);
        thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                let told = Arc::clone(&told);
                told.lock().unwrap().everybody.push(client.try_clone().unwrap());
                // A client that hangs up ends its thread.
                thread::spawn(move || serve(client, &told));
            }
        });
        Self { port: at, said }
    }

    /// Announces nothing to anybody from now on.
    pub(crate) fn be_mute(&self) {
        self.said.lock().unwrap().is_mute = true;
        self.hang_up();
    }

    /// Names another master from now on, and announces it.
    pub(crate) fn switch_to(&self, number: u64, port: u16) {
        let mut said = self.said.lock().unwrap();
        said.word = Some((number, port));
        let news = format!("{MASTER} 127.0.0.1 1 127.0.0.1 {port}");
        let push = format!(
            ">3\r\n$7\r\nmessage\r\n$14\r\n+switch-master\r\n${}\r\n{news}\r\n",
            news.len()
        );
        for client in &mut said.listening {
            // Somebody may have hung up.
            let _ = client.write_all(push.as_bytes());
        }
    }

    /// Hangs up on everybody, and on whoever comes.
    pub(crate) fn go_away(&self) {
        self.said.lock().unwrap().word = None;
        self.hang_up();
    }

    fn hang_up(&self) {
        let mut said = self.said.lock().unwrap();
        for client in said.everybody.drain(..) {
            let _ = client.shutdown(std::net::Shutdown::Both);
        }
        said.listening.clear();
    }
}

fn serve(client: TcpStream, said: &Mutex<Said>) -> Option<()> {
    let mut reader = BufReader::new(client.try_clone().ok()?);
    let mut writer = client;
    loop {
        let words = command(&mut reader)?;
        let mut said = said.lock().unwrap();
        let (number, port) = said.word?;
        let port = port.to_string();
        let answer = match words[..].iter().map(String::as_str).collect::<Vec<_>>()[..] {
            ["HELLO", ..] => "%1\r\n$5\r\nproto\r\n:3\r\n".to_owned(),
            ["SUBSCRIBE", channel] if !said.is_mute => {
                said.listening.push(writer.try_clone().ok()?);
                format!(">3\r\n$9\r\nsubscribe\r\n${}\r\n{channel}\r\n:1\r\n", channel.len())
            }
            ["SENTINEL", "GET-MASTER-ADDR-BY-NAME", MASTER] => {
                format!("*2\r\n$9\r\n127.0.0.1\r\n${}\r\n{port}\r\n", port.len())
            }
            ["SENTINEL", "MASTER", MASTER] => {
                let number = number.to_string();
                format!("%1\r\n$12\r\nconfig-epoch\r\n${}\r\n{number}\r\n", number.len())
            }
            _ => "-ERR a stand-in knows nothing else\r\n".to_owned(),
        };
        writer.write_all(answer.as_bytes()).ok()?;
    }
}

/// Reads a list of strings.
fn command(reader: &mut BufReader<TcpStream>) -> Option<Vec<String>> {
    let words = number(reader, '*')?;
    let mut word = || {
        let length = number(reader, '$')?;
        let mut text = vec![0; length + 2];
        reader.read_exact(&mut text).ok()?;
        text.truncate(length);
        String::from_utf8(text).ok()
    };
    (0..words).map(|_| word()).collect()
}

fn number(reader: &mut BufReader<TcpStream>, mark: char) -> Option<usize> {
    let mut line = String::new();
    reader.read_line(&mut line).ok()?;
    line.trim_end().strip_prefix(mark)?.parse().ok()
}
