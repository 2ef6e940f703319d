//! An origin that a test scripts: it counts, keeps what it was asked, and pauses where told.

use std::net::SocketAddr;
use std::sync::Arc;

use bytes::Bytes;
use parking_lot::Mutex;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinHandle;

/// One scripted origin.
pub struct Origin {
    pub address: SocketAddr,
    state: Arc<State>,
    task: JoinHandle<()>,
}

struct State {
    heads: Mutex<Vec<String>>,
    bodies: Mutex<Vec<String>>,
    requests: watch::Sender<usize>,
    answer: Box<dyn Fn(&str) -> Reply + Send + Sync>,
}

/// What to answer.
pub struct Reply {
    pub status: u16,
    pub fields: Vec<(&'static str, String)>,
    /// Waited for before the header is sent.
    pub hold: Option<Gate>,
    pub body: Vec<Step>,
    /// `None`: chunked.
    pub length: Option<usize>,
    /// Says nothing of the length and closes the connection after the body.
    pub to_close: bool,
}

/// One step of a body.
#[derive(Clone)]
pub enum Step {
    Send(Bytes),
    Wait(Gate),
    /// Closes the connection.
    Abort,
}

/// Something to wait for until the test opens it.
#[derive(Clone)]
pub struct Gate(Arc<Semaphore>);

impl Gate {
    pub fn shut() -> Self {
        Self(Arc::new(Semaphore::new(0)))
    }

    pub fn open(&self) {
        self.0.add_permits(1_000_000);
    }

    /// Lets one pass.
    pub fn step(&self) {
        self.0.add_permits(1);
    }

    async fn pass(&self) {
        self.0.acquire().await.unwrap().forget();
    }
}

impl Reply {
    pub fn ok(body: impl Into<Bytes>) -> Self {
        Self::status(200, body).field("cache-control", "max-age=600")
    }

    pub fn status(status: u16, body: impl Into<Bytes>) -> Self {
        let body = body.into();
        Self {
            status,
            fields: Vec::new(),
            hold: None,
            length: Some(body.len()),
            to_close: false,
            body: vec![Step::Send(body)],
        }
    }

    pub fn steps(length: usize, body: Vec<Step>) -> Self {
        Self {
            length: Some(length),
            body,
            ..Self::ok("")
        }
    }

    pub fn field(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.fields.retain(|(other, _)| *other != name);
        self.fields.push((name, value.into()));
        self
    }

    pub fn held(mut self, gate: &Gate) -> Self {
        self.hold = Some(gate.clone());
        self
    }
}

impl Origin {
    pub async fn start(answer: impl Fn(&str) -> Reply + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        Self::on(listener, answer)
    }

    pub fn on(
        listener: TcpListener,
        answer: impl Fn(&str) -> Reply + Send + Sync + 'static,
    ) -> Self {
        let address = listener.local_addr().unwrap();
        let state = Arc::new(State {
            heads: Mutex::default(),
            bodies: Mutex::default(),
            requests: watch::Sender::new(0),
            answer: Box::new(answer),
        });
        let shared = Arc::clone(&state);
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let state = Arc::clone(&shared);
                tokio::spawn(async move { connection(stream, &state).await });
            }
        });
        Self {
            address,
            state,
            task,
        }
    }

    /// Requests that have come so far.
    pub fn requests(&self) -> usize {
        *self.state.requests.borrow()
    }

    /// Waits until so many requests have come.
    pub async fn until(&self, count: usize) {
        let mut seen = self.state.requests.subscribe();
        let wait = seen.wait_for(|requests| *requests >= count);
        let waited = tokio::time::timeout(std::time::Duration::from_secs(20), wait).await;
        assert!(waited.is_ok(), "the parent was not asked {count} times");
    }

    /// The request headers that have come so far, as they came.
    pub fn heads(&self) -> Vec<String> {
        self.state.heads.lock().clone()
    }

    /// The bodies of the requests that had one.
    pub fn bodies(&self) -> Vec<String> {
        self.state.bodies.lock().clone()
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }
}

impl Drop for Origin {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// The status of a reply that is none: the connection is closed.
pub const HANG_UP: u16 = 0;

/// The path of a request header.
pub fn path(head: &str) -> &str {
    head.split(' ').nth(1).unwrap()
}

/// A field of a request header.
pub fn field<'a>(head: &'a str, name: &str) -> Option<&'a str> {
    head.lines()
        .filter_map(|line| line.split_once(": "))
        .find(|(found, _)| found.eq_ignore_ascii_case(name))
        .map(|(_, value)| value)
}

async fn connection(mut stream: TcpStream, state: &State) -> Option<()> {
    let mut buffer = Vec::new();
    loop {
        let end = loop {
            if let Some(at) = buffer.windows(4).position(|four| four == b"\r\n\r\n") {
                break at + 4;
            }
            if stream.read_buf(&mut buffer).await.ok()? == 0 {
                return None;
            }
        };
        let head = String::from_utf8(buffer.drain(..end).collect()).unwrap();
        let length = field(&head, "content-length").map_or(0, |length| length.parse().unwrap());
        while buffer.len() < length {
            if stream.read_buf(&mut buffer).await.ok()? == 0 {
                return None;
            }
        }
        if length > 0 {
            let body = buffer.drain(..length).collect();
            state.bodies.lock().push(String::from_utf8(body).unwrap());
        }
        state.heads.lock().push(head.clone());
        state.requests.send_modify(|count| *count += 1);
        let reply = (state.answer)(&head);
        if let Some(gate) = &reply.hold {
            gate.pass().await;
        }
        if reply.status == HANG_UP {
            return None;
        }
        send(&mut stream, reply, head.starts_with("HEAD ")).await?;
    }
}

async fn send(stream: &mut TcpStream, reply: Reply, headless: bool) -> Option<()> {
    let mut text = format!("HTTP/1.1 {} X\r\n", reply.status);
    for (name, value) in &reply.fields {
        text.push_str(&format!("{name}: {value}\r\n"));
    }
    let bodiless = headless || reply.status == 304;
    match reply.length {
        _ if reply.status == 304 || reply.to_close => {}
        Some(length) => text.push_str(&format!("content-length: {length}\r\n")),
        None => text.push_str("transfer-encoding: chunked\r\n"),
    }
    text.push_str("\r\n");
    stream.write_all(text.as_bytes()).await.ok()?;
    if bodiless {
        return Some(());
    }
    for step in reply.body {
        match step {
            Step::Send(bytes) if bytes.is_empty() => {}
            Step::Send(bytes) if reply.length.is_some() => stream.write_all(&bytes).await.ok()?,
            Step::Send(bytes) => {
                let size = format!("{:x}\r\n", bytes.len());
                stream.write_all(size.as_bytes()).await.ok()?;
                stream.write_all(&bytes).await.ok()?;
                stream.write_all(b"\r\n").await.ok()?;
            }
            Step::Wait(gate) => gate.pass().await,
            Step::Abort => return None,
        }
    }
    if reply.to_close {
        return None;
    }
    if reply.length.is_none() {
        stream.write_all(b"0\r\n\r\n").await.ok()?;
    }
    Some(())
}
